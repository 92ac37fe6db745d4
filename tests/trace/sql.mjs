// SPDX-License-Identifier: GPL-2.0-only
// Asks Perfetto's own trace processor about a trace:
//
//	node sql.mjs DIRECTORY TRACE QUERY...
//
// DIRECTORY is what fetch.sh has made: the trace processor as WebAssembly. Prints a line for each row of each query, its
// values separated by tabs.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, path, ...queries] = process.argv.slice(2);
const at = (name) => resolve(directory, name);

// The bundle is made for a worker, with the 32-bit program beside it.
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = class {};
globalThis.location = { href: pathToFileURL(at("engine_bundle.node.js")).href };
const { Module } = WebAssembly;
WebAssembly.Module = function (bytes) {
	const memory_first = bytes[8] === 5;
	if (memory_first)
		throw new Error("no 64-bit memory");
	return new Module(bytes);
};
globalThis.XMLHttpRequest = class {
	open(method, url) {
		this.name = url;
	}
	send() {
		this.response = new Uint8Array(readFileSync(at(this.name.replace(/.*\//, ""))));
	}
};
console.warn = () => {};

const trace = readFileSync(path);
const { EngineBase } = await import(pathToFileURL(at("engine.mjs")).href);
createRequire(import.meta.url)(at("engine_bundle.node.js"));

class Engine extends EngineBase {
	id = "test";
	mode = "WASM";

	constructor(port) {
		super();
		this.port = port;
		port.onmessage = (message) => this.onRpcResponseBytes(message.data);
	}

	rpcSendRequestBytes(bytes) {
		this.port.postMessage(bytes);
	}
}

const { port1, port2 } = new MessageChannel();
globalThis.onmessage({ data: port2 });
const engine = new Engine(port1);
await engine.parse(trace);
await engine.notifyEof();
for (const query of queries) {
	const answer = await engine.query(query);
	const columns = answer.columns();
	for (const row = answer.iter({}); row.valid(); row.next())
		console.log(columns.map((column) => row.get(column)).join("\t"));
}
process.exit(0);
