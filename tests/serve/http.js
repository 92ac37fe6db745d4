// SPDX-License-Identifier: GPL-2.0-only
// Clients of kvm_watcher serve, good and bad, and a server of texts that were kept. Node's own modules only.
//
//	http.js scrapes PORT N      N scrapes, a third of them with connections of their own; the last body's bytes
//	http.js crowd PORT N        N connections at once that say nothing: how many were told that there are too many
//	http.js slow PORT SECONDS   one that sends a byte a second, one that reads nothing: how each ended
//	http.js garbage PORT N      N requests of random bytes: how many were answered
//	http.js texts PORT DIR      serves DIR/0, DIR/1 ... one a scrape, and the last one from then on
'use strict';
const fs = require('fs');
const http = require('http');
const net = require('net');

const [what, portText, arg] = process.argv.slice(2);
const port = Number(portText);
const host = '127.0.0.1';

function get(agent, headers) {
	return new Promise((resolve, reject) => {
		http.get({ host, port, path: '/metrics', agent, headers }, (res) => {
			let bytes = 0;
			res.on('data', (data) => { bytes += data.length; });
			res.on('end', () => res.statusCode === 200 ? resolve(bytes) :
				reject(new Error(`status ${res.statusCode}`)));
		}).on('error', reject);
	});
}

async function scrapes(nr) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	let bytes = 0;
	for (let i = 0; i < nr; i++)
		bytes = await get(i % 3 ? agent : false, i % 2 ? { 'Accept-Encoding': 'gzip' } :
			{ Accept: 'application/openmetrics-text' });
	agent.destroy();
	console.log(bytes);
}

// All that a connection says until its end, or so long.
function talk(send, milliseconds) {
	return new Promise((resolve) => {
		const socket = net.connect(port, host);
		let text = '';
		const timer = milliseconds && setTimeout(() => socket.destroy(), milliseconds);
		socket.on('connect', () => send(socket));
		socket.on('data', (data) => { text += data.toString('latin1').slice(0, 1000); });
		socket.on('error', () => {});
		socket.on('close', () => { clearTimeout(timer); resolve(text); });
	});
}

async function crowd(nr) {
	const texts = await Promise.all(Array.from({ length: nr }, () => talk(() => {}, 2000)));
	console.log(texts.filter((text) => text.startsWith('HTTP/1.1 503 ')).length);
}

async function slow(seconds) {
	const typing = talk((socket) => {
		const timer = setInterval(() => socket.write('G'), 1000);
		socket.on('close', () => clearInterval(timer));
	}, seconds * 1000);
	const deaf = talk((socket) => {
		for (let i = 0; i < 300; i++)
			socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
		socket.pause();
	}, seconds * 1000);
	const ended = await Promise.all([typing, deaf]);
	console.log(ended[0].split('\r\n')[0]);
}

async function garbage(nr) {
	let answered = 0, seed = 7;
	const random = (below) => {
		seed = (seed * 1103515245 + 12345) % 2147483648;
		return seed % below;
	};
	for (let i = 0; i < nr; i++) {
		const bytes = Buffer.from(Array.from({ length: 1 + random(300) }, () => random(256)));
		const text = await talk((socket) => { socket.write(bytes); socket.end('\n\n'); }, 500);
		answered += text.startsWith('HTTP/1.1 4') || text.startsWith('HTTP/1.1 5');
	}
	console.log(answered);
}

function texts(dir) {
	let next = 0;
	http.createServer((req, res) => {
		const path = fs.existsSync(`${dir}/${next}`) ? `${dir}/${next++}` : `${dir}/${next - 1}`;
		res.setHeader('Content-Type', 'text/plain; version=0.0.4');
		res.end(fs.readFileSync(path));
	}).listen(port, host, () => console.log('serving'));
}

const done = { scrapes: () => scrapes(Number(arg)), crowd: () => crowd(Number(arg)), slow: () => slow(Number(arg)),
	garbage: () => garbage(Number(arg)), texts: () => texts(arg) }[what]();
Promise.resolve(done).catch((error) => { console.error(error.message); process.exit(1); });
