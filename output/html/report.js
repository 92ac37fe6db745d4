// SPDX-License-Identifier: GPL-2.0-only
// Draws the page's data. Names of VMs and processes are whatever somebody has called them: they reach the page as text
// alone, never as HTML.
"use strict";
(function () {
const root = document.documentElement;
let errors = 0, violations = 0;

addEventListener("error", () => root.dataset.errors = ++errors);
addEventListener("securitypolicyviolation", () => root.dataset.violations = ++violations);

const data = JSON.parse(document.getElementById("data").textContent);
const start = data.starts[0] || {};
const LINES = 7;	// of a chart, beside their sum
const redrawn = [];	// what is drawn in colours of its own: (width or 0) => ...

// Elements and text

// Control characters and what else has no shape of its own, or changes the direction of writing: as in tables, "?".
function shown(text) {
	return String(text).replace(/[\p{C}\u2028\u2029]/gu, "?");
}

function h(tag, attributes, ...children) {
	const element = document.createElement(tag);

	for (const [name, value] of Object.entries(attributes || {}))
		if (value !== null && value !== undefined && value !== false)
			element.setAttribute(name, value === true ? "" : value);
	for (const child of children)
		if (child !== null && child !== undefined)
			element.append(child instanceof Node ? child : shown(child));
	return element;
}

function plain(number, digits) {
	return number.toLocaleString("en", { maximumFractionDigits: digits });
}

function three(number) {
	return Math.abs(number) >= 100 ? plain(number, 0) : number.toLocaleString("en", { maximumSignificantDigits: 3 });
}

function duration(ns) {
	const units = [["s", 1e9], ["ms", 1e6], ["\u00b5s", 1e3], ["ns", 1]];
	const [unit, size] = units.find(u => Math.abs(ns) >= u[1]) || units[3];

	return `${ns === 0 ? 0 : three(ns / size)}\u00a0${unit}`;
}

function inWords(value) {
	if (value === null || value === undefined)
		return "\u2013";
	if (Array.isArray(value))
		return value.map(v => typeof v === "object" && v ? `[${inWords(v)}]` : inWords(v)).join(" ");
	if (typeof value === "object")
		return Object.entries(value).map(([k, v]) => `${k}=${typeof v === "object" && v ? `[${inWords(v)}]` : inWords(v)}`).join(" ");
	return String(value);
}

function cellText(column, value) {
	if (value === null || value === undefined)
		return "\u2013";
	switch (column.type) {
	case "ns": return duration(value);
	case "percent": return three(value);
	case "hex": return "0x" + value.toString(16);
	case "number": return column.role === "label" ? String(value) : plain(value, 3);
	case "bool": return value ? "yes" : "no";
	default: return inWords(value);
	}
}

const isNumber = column => ["ns", "percent", "number", "hex"].includes(column.type);
const explain = column => [column.help, column.worse ? "more is worse" : null].filter(t => t).join("; ");
const columnName = column => column.title || column.name;

// Moments, by the clock of the host that was watched

const zone = (/([+-])(\d\d):(\d\d)$/.exec(start.time || "") || []).slice(1);
const zoneMs = zone.length ? (zone[0] === "-" ? -1 : 1) * (zone[1] * 60 + +zone[2]) * 60000 : 0;

function clock(ms, parts) {
	const text = new Date(ms + zoneMs).toISOString();

	return parts === "day" ? text.slice(0, 10) : parts === "ms" ? text.slice(11, 23) :
		parts === "date" ? text.slice(5, 16).replace("T", " ") : parts === "minute" ? text.slice(11, 16) : text.slice(11, 19);
}

const moments = data.moments;
const span = moments.length ? moments[moments.length - 1][1] - moments[0][0] : 0;
const clockParts = span < 20000 ? "ms" : span < 3600000 ? "second" : span < 86400000 ? "minute" : "date";

// Moments of lines that have one point for several of them.
function coarse(every) {
	const result = [];

	for (let i = 0; i < moments.length; i += every)
		result.push([moments[i][0], moments[Math.min(i + every, moments.length) - 1][1]]);
	return result;
}

// What a chart has as x: each moment's end, its begin where nothing is before it, and a gap there. of: the moment, or null.
function points(every) {
	const at = coarse(every), x = [], of = [];

	at.forEach(([since, now], i) => {
		const gap = i && since - at[i - 1][1] > 2;

		if (gap) {
			x.push((at[i - 1][1] + 1) / 1000);
			of.push(null);
		}
		if (!i || gap) {
			x.push(since / 1000);
			of.push(i);
		}
		x.push(now / 1000);
		of.push(i);
	});
	return { x, of, at };
}

// Colours, and patterns, so that no colour stands alone

const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [12, 4], [1, 4], [6, 2, 1, 2, 1, 2]];

function colour(name) {
	return getComputedStyle(root).getPropertyValue("--" + name).trim();
}

function hatch(i) {
	const size = 8, canvas = document.createElement("canvas"), c = canvas.getContext("2d");
	const lines = [
		[],
		[[0, 8, 8, 0], [-2, 2, 2, -2], [6, 10, 10, 6]],
		[[0, 4, 8, 4]],
		[[0, 0, 8, 8], [-2, 6, 2, 10], [6, -2, 10, 2]],
		[[4, 0, 4, 8]],
		[[0, 4, 8, 4], [4, 0, 4, 8]],
		[[0, 8, 8, 0], [0, 0, 8, 8]],
		[[3, 4, 5, 4]],
	][i % 8];

	canvas.width = canvas.height = size;
	c.fillStyle = colour("c" + i % 8);
	c.fillRect(0, 0, size, size);
	c.strokeStyle = colour("paper");
	c.lineWidth = i % 8 === 7 ? 2 : 1.4;
	c.beginPath();
	for (const [x, y, to, down] of lines) {
		c.moveTo(x, y);
		c.lineTo(to, down);
	}
	c.stroke();
	return canvas;
}

let patterns = {};
function patternOf(context, i) {
	if (!patterns[i])
		patterns[i] = hatch(i);
	return context.createPattern(patterns[i], "repeat");
}

function redrawAll(width) {
	patterns = {};
	for (const draw of redrawn)
		draw(width);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redrawAll(0));
addEventListener("beforeprint", () => {
	root.classList.add("print");
	redrawAll(680);
});
addEventListener("afterprint", () => {
	root.classList.remove("print");
	redrawAll(0);
});
let resized;
addEventListener("resize", () => {
	clearTimeout(resized);
	resized = setTimeout(() => redrawAll(0), 100);
});

function legend(items, draw) {
	return h("ul", { class: "legend" }, ...items.map((item, i) => {
		const canvas = h("canvas", { width: 56, height: 28, "aria-hidden": "true" });

		redrawn.push(() => canvas.isConnected && draw(canvas.getContext("2d"), i));
		draw(canvas.getContext("2d"), i);
		return h("li", {}, canvas, item);
	}));
}

const areaKey = (c, i) => {
	c.fillStyle = patternOf(c, i);
	c.fillRect(0, 0, 56, 28);
};

const lineKey = (c, i) => {
	c.clearRect(0, 0, 56, 28);
	c.strokeStyle = i ? colour("c" + (i - 1) % 8) : colour("ink");
	c.lineWidth = 5;
	c.setLineDash(DASHES[i % 8].map(d => d * 2));
	c.beginPath();
	c.moveTo(0, 14);
	c.lineTo(56, 14);
	c.stroke();
};

// Keys move a cursor over n places: left and right one, Home and End to the ends, up and down if there is a second way.
// other(): what else a key does; true if it does.
function onKeys(element, n, move, up, other) {
	let at = -1;

	element.addEventListener("keydown", event => {
		const to = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(n() - 1, at + 1), Home: 0, End: n() - 1 }[event.key];

		if (to !== undefined)
			move(at = to);
		else if (up && (event.key === "ArrowUp" || event.key === "ArrowDown"))
			up(event.key === "ArrowUp" ? 1 : -1);
		else if (!other || !other(event.key, Math.max(0, at)))
			return;
		event.preventDefault();
	});
}

// A chart: names and values of lines, all over the same points. unit() words a value.
function chart({ names, values, every, stacked, unit, words, top }) {
	const { x, of, at } = points(every);
	const lines = values.map(v => of.map(i => i === null ? null : v[i]));
	const readout = h("output", { class: "readout", "aria-live": "polite" });
	const holder = h("div", { class: "plot", tabindex: 0, role: "img", "aria-label": `${words} Arrow keys move the cursor, plus and minus zoom, 0 shows all.` });
	const totals = of.map(() => 0);
	const drawn = stacked ? lines.map(line => line.map((v, i) => v === null ? null : totals[i] += v)) : lines;
	const dark = () => colour("faint");
	const axis = { stroke: dark, grid: { stroke: () => colour("line"), width: 1 }, ticks: { stroke: () => colour("line"), width: 1 } };
	let plot;

	function tell(i) {
		if (i === null || i === undefined || of[i] === null) {
			readout.textContent = "";
			return;
		}
		const moment = at[of[i]];
		const parts = lines.map((line, n) => ({ name: names[n], value: line[i] })).filter(p => p.value);

		readout.textContent = shown(`${clock(moment[0], clockParts)}\u2013${clock(moment[1], clockParts)}: ` +
			(parts.map(p => `${p.name} ${unit(p.value)}`).join(", ") || "nothing"));
	}

	function series(name, i) {
		return stacked ? {
			label: name, stroke: () => colour("paper"), width: .5, points: { show: false },
			fill: u => patternOf(u.ctx, i), paths: uPlot.paths.stepped({ align: -1 }),
		} : {
			label: name, stroke: () => i ? colour("c" + (i - 1) % 8) : colour("ink"), width: i ? 1.8 : 1.2,
			dash: DASHES[i % 8], points: { show: lines[i].length < 3 }, paths: uPlot.paths.stepped({ align: -1 }),
		};
	}

	function draw(width) {
		if (!holder.isConnected)
			return;
		width = width || holder.clientWidth;
		if (plot) {
			plot.setSize({ width, height: plot.height });
			plot.redraw();
			return;
		}
		plot = new uPlot({
			width,
			height: 240,
			legend: { show: false },
			cursor: { y: false, drag: { x: true, y: false } },
			scales: {
				x: { time: true },
				y: { range: (u, low, high) => [0, top || (high || 1) * 1.05] },
			},
			axes: [
				{ ...axis, size: 34, space: ["ms", "date"].includes(clockParts) ? 100 : 76, values: (u, splits) => splits.map(s => clock(s * 1000, clockParts)) },
				{ ...axis, size: 72, values: (u, splits) => splits.map(unit) },
			],
			series: [{}, ...names.map(series)],
			bands: stacked ? names.slice(1).map((name, i) => ({ series: [i + 2, i + 1] })) : [],
			hooks: { setCursor: [u => tell(u.cursor.idx)] },
		}, [x, ...drawn], holder);
	}

	onKeys(holder, () => x.length, i => {
		plot.setCursor({ left: plot.valToPos(x[i], "x"), top: 10 });
		tell(i);
	}, null, (key, i) => {
		const { min, max } = plot.scales.x, all = [x[0], x[x.length - 1]];
		const half = (max - min) / 2 * ({ "+": .5, "-": 2 }[key] || 0);

		if (key === "0")
			plot.setScale("x", { min: all[0], max: all[1] });
		else if (half)
			plot.setScale("x", { min: Math.max(all[0], x[i] - half), max: Math.min(all[1], x[i] + half) });
		return key === "0" || half;
	});
	redrawn.push(draw);
	return { holder, readout, draw };
}

function figure(caption, parts, attributes) {
	return h("figure", attributes, h("figcaption", {}, caption), ...parts);
}

// Who a group is

const ofName = of => {
	if (of.vm !== undefined)
		return `${of.vm === null ? "\u2013" : of.vm} (${of.pid === null ? "no process" : "pid " + of.pid})` +
			(of.vcpu === undefined ? "" : ` vCPU ${of.vcpu}`);
	const values = Object.entries(of).filter(([, v]) => v !== null);

	return values.map(([k, v]) => typeof v === "string" ? v : `${k} ${v}`).join(" ") || "(none)";
};
const groupName = group => group.by === "all" ? "all" : ofName(group.of);
const groupsOf = (table, by) => table.groups.filter(g => g.by === by);
const DIMENSIONS = [["vm", "VMs"], ["labels", "labels"]];

function select(label, options, change) {
	const box = h("select", {}, ...options.map(([value, text]) => h("option", { value }, text)));

	box.addEventListener("change", () => change(box.value));
	return h("label", {}, label, box);
}

function grouped(label, table, kinds, fits, change) {
	const list = [];
	const box = h("select", {});

	for (const [by, words] of [["all", "All"], ["vm", "VMs"], ["vcpu", "vCPUs"], ["labels", "Labels"]]) {
		const groups = groupsOf(table, by).filter(fits);

		if (!kinds.includes(by) || !groups.length)
			continue;
		const options = groups.map(g => h("option", { value: list.push(g) - 1 }, groupName(g)));

		if (by === "all")
			box.append(...options);
		else
			box.append(h("optgroup", { label: words }, ...options));
	}
	box.addEventListener("change", () => change(list[box.value]));
	return { list, box, label: h("label", {}, label, box) };
}

// What is drawn in a place, and drawn anew when something else is chosen

function place() {
	const element = h("div");

	return {
		element,
		show(...content) {
			element.replaceChildren(...content.map(c => c.element || c));
			for (const c of content)
				if (c.draw)
					c.draw(0);
		},
	};
}

// Where the time went

const stackOf = table => table.columns.filter(c => c.stack);
const partName = column => column.name.replace(/_ns$/, "").replace(/_/g, " ");

function shares(table, group) {
	const columns = stackOf(table);
	const empty = coarse(group.every).map(() => 0);
	const values = columns.map(c => group.values[c.name] || empty);
	const sums = empty.map((zero, i) => values.reduce((sum, v) => sum + v[i], 0));

	return values.map(v => v.map((x, i) => sums[i] ? 100 * x / sums[i] : 0));
}

function stackFigure(table, group) {
	const columns = stackOf(table), names = columns.map(partName);
	const whole = columns.reduce((sum, c) => sum + (group.sums[c.name] || 0), 0);
	const c = chart({
		names, values: shares(table, group), every: group.every, stacked: true, top: 100,
		unit: v => `${three(v)}\u00a0%`, words: `Where the time of ${groupName(group)} went, over time.`,
	});
	const element = figure(`Where the time of ${groupName(group)} went: shares of it, over time`, [
		c.holder, c.readout,
		legend(columns.map(column => `${partName(column)}: ${duration(group.sums[column.name] || 0)}, ` +
			`${three(whole ? 100 * (group.sums[column.name] || 0) / whole : 0)} %`), areaKey),
	], {
		"data-chart": table.table, "data-sums": JSON.stringify(group.sums),
		"data-points": JSON.stringify(Object.fromEntries(Object.entries(group.values).map(([k, v]) => [k, v.reduce((a, b) => a + b, 0)]))),
	});

	return { element, draw: c.draw };
}

function bar(table, group) {
	const columns = stackOf(table), canvas = h("canvas", { width: 320, height: 32, "aria-hidden": "true" });
	const whole = columns.reduce((sum, c) => sum + (group.sums[c.name] || 0), 0);
	const draw = () => {
		const c = canvas.getContext("2d");
		let at = 0;

		columns.forEach((column, i) => {
			const width = whole ? 320 * (group.sums[column.name] || 0) / whole : 0;

			c.fillStyle = patternOf(c, i);
			c.fillRect(at, 0, width, 32);
			at += width;
		});
	};

	redrawn.push(draw);
	draw();
	return h("div", { class: "bar" }, canvas);
}

function stackSection(table) {
	const here = place(), columns = stackOf(table);
	const show = group => here.show(stackFigure(table, group));
	const choice = grouped("Of", table, ["all", "vm", "vcpu"], () => true, show);
	const kinds = ["vm", "vcpu"].filter(by => groupsOf(table, by).length);
	const rows = kinds.includes("vm") ? groupsOf(table, "vm") : groupsOf(table, "vcpu");
	const most = 50;
	const body = rows.slice(0, most).map(group => {
		const whole = columns.reduce((sum, c) => sum + (group.sums[c.name] || 0), 0);
		const button = h("button", { type: "button" }, groupName(group));

		button.addEventListener("click", () => {
			choice.box.value = choice.list.indexOf(group);
			show(group);
			here.element.scrollIntoView({ block: "nearest" });
		});
		return h("tr", {}, h("td", {}, button), h("td", {}, bar(table, group)),
			...columns.map(c => h("td", { class: "number", "data-value": group.sums[c.name] || 0 },
				three(whole ? 100 * (group.sums[c.name] || 0) / whole : 0))));
	});
	const left = table.more_groups;
	const section = h("section", { id: "time" }, h("h2", {}, "Where the time went"),
		h("div", { class: "controls" }, choice.label), here.element,
		h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Where the time of each went" },
			h("table", { "data-stack": table.table },
				h("caption", {}, "Per cent of the time, the costliest first" +
					(rows.length > most ? `; ${rows.length - most} more can be chosen above` : "")),
				h("thead", {}, h("tr", {}, h("th", { scope: "col" }, kinds.includes("vm") ? "VM" : "vCPU"), h("th", { scope: "col" }, "Parts"),
					...columns.map(c => h("th", { scope: "col", class: "number", title: explain(c) }, partName(c))))),
				h("tbody", {}, ...body))),
		left.vm || left.vcpu ? h("p", { class: "note" },
			`${left.vm} more VMs and ${left.vcpu} more vCPUs, the least costly, did not fit. \u201call\u201d includes them.`) : null,
		h("dl", {}, ...columns.flatMap(c => [h("dt", {}, partName(c)), h("dd", {}, c.help || "")])));

	return { section, draw: () => show(choice.list[0]) };
}

// Rates

function lineFigure(table, column, by) {
	const all = groupsOf(table, "all")[0];
	const groups = groupsOf(table, by).filter(g => g.values[column.name])
		.sort((a, b) => b.sums[column.name] - a.sums[column.name]).slice(0, LINES);
	const list = [all, ...groups].filter(g => g && g.values[column.name]);
	const every = Math.max(1, ...list.map(g => g.every)), at = coarse(every);
	const values = list.map(g => {
		const own = g.values[column.name], step = every / g.every;

		return at.map(([since, now], i) => {
			let sum = 0;

			for (let j = i * step; j < (i + 1) * step && j < own.length; j++)
				sum += own[j];
			return now > since ? 1000 * sum / (now - since) : 0;
		});
	});
	const unit = column.type === "ns" ? v => `${duration(v)}/s` : v => `${three(v)}/s`;
	const words = `${columnName(column)} per second${by === "vm" ? ", by VM" : by === "labels" ? ", by label" : ""}`;
	const names = list.map(groupName);
	const c = chart({ names, values, every, stacked: false, unit, words: `${words}.` });
	const total = groupsOf(table, by).length + (table.more_groups[by] || 0);
	const element = figure(`${words}${column.help ? ": " + column.help : ""}`, [
		c.holder, c.readout,
		legend(list.map(g => `${groupName(g)}: ${column.type === "ns" ? duration(g.sums[column.name]) : plain(g.sums[column.name], 0)}`), lineKey),
		total > groups.length ? h("p", { class: "note" }, `Only the ${groups.length} with the most, of ${total}.`) : h("span"),
	], { "data-chart": table.table, "data-column": column.name, "data-total": all ? all.sums[column.name] : 0,
	     "data-points": values[0].reduce((sum, v, i) => sum + v * (at[i][1] - at[i][0]) / 1000, 0) });

	return { element, draw: c.draw };
}

function ratesPart(table) {
	const all = groupsOf(table, "all")[0];
	const columns = all ? table.columns.filter(c => !c.stack && all.values[c.name]) : [];
	const kinds = DIMENSIONS.filter(([by]) => groupsOf(table, by).length);
	const here = place();
	let column = columns.find(c => c.cost) || columns[0], by = kinds.length ? kinds[0][0] : "all";
	const show = () => here.show(lineFigure(table, column, by));

	if (!column || !moments.length)
		return null;
	return {
		element: h("div", {}, h("h3", {}, "Rates"), h("div", { class: "controls" },
			select("Of", [column, ...columns.filter(c => c !== column)].map(c => [c.name, columnName(c)]), name => {
				column = columns.find(c => c.name === name);
				show();
			}),
			kinds.length > 1 ? select("by", kinds, value => {
				by = value;
				show();
			}) : null), here.element),
		draw: show,
	};
}

// Latency heat maps: a column is a moment, a row a bucket of the histogram

const low = bucket => bucket < 4 ? bucket : (4 + bucket % 4) * 2 ** (Math.floor(bucket / 4) - 1);
const bucketRange = b => `${duration(low(b))}\u2013${duration(low(b + 1))}`;

function mix(a, b, share) {
	const parse = text => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16));
	const from = parse(a), to = parse(b);

	return `rgb(${from.map((v, i) => Math.round(v + (to[i] - v) * share)).join()})`;
}

function percentileOf(counts, from, share) {
	const all = counts.reduce((a, b) => a + b, 0);
	let seen = 0;

	for (let i = 0; i < counts.length; i++) {
		seen += counts[i];
		if (seen >= all * share)
			return from + i;
	}
	return null;
}

function heatFigure(table, time, group) {
	const cells = group.heat[time], height = 220, left = 72, below = 22;
	const bottom = Math.min(...cells.map(c => c[1])), top = Math.max(...cells.map(c => c[1] + c.length - 2));
	const most = Math.max(...cells.map(c => Math.max(...c.slice(2))));
	const total = cells.reduce((sum, c) => sum + c.slice(2).reduce((a, b) => a + b, 0), 0);
	const canvas = h("canvas", { class: "heat", tabindex: 0, role: "img",
		"aria-label": `How long it took, over time: ${plain(total, 0)} times, from ${bucketRange(bottom)} to ${bucketRange(top - 1)}. Arrow keys move the cursor.` });
	const readout = h("output", { class: "readout", "aria-live": "polite" });
	const first = moments[0][0];
	const xOf = (ms, width) => left + (width - left) * (span ? (ms - first) / span : 0);
	const yOf = bucket => height - (bucket - bottom) * height / (top - bottom);
	// Few and many both show: by the logarithm.
	const shade = count => mix(colour("heat0"), colour("heat1"), most > 1 ? Math.log(count) / Math.log(most) : 1);
	let cursor = [0, bottom];

	function line(c, width, share, dash) {
		c.strokeStyle = colour("c1");
		c.lineWidth = 1.6;
		c.setLineDash(dash);
		c.beginPath();
		for (const [at, from, ...counts] of cells) {
			const bucket = percentileOf(counts, from, share) + .5;

			c.moveTo(xOf(moments[at][0], width), yOf(bucket));
			c.lineTo(xOf(moments[at][1], width), yOf(bucket));
		}
		c.stroke();
		c.setLineDash([]);
	}

	function draw(asked) {
		if (!canvas.isConnected)
			return;
		const width = asked || canvas.parentNode.clientWidth - 2 * parseFloat(getComputedStyle(canvas.parentNode).paddingLeft);
		const scale = devicePixelRatio || 1, c = canvas.getContext("2d");

		canvas.width = width * scale;
		canvas.height = (height + below) * scale;
		canvas.style.height = `${height + below}px`;
		c.scale(scale, scale);
		c.fillStyle = colour("paper");
		c.fillRect(left, 0, width - left, height);
		for (const [at, from, ...counts] of cells) {
			const x = xOf(moments[at][0], width), wide = Math.max(1, xOf(moments[at][1], width) - x);

			counts.forEach((count, i) => {
				if (!count)
					return;
				c.fillStyle = shade(count);
				c.fillRect(x, yOf(from + i + 1), wide, height / (top - bottom) + .5);
			});
		}
		line(c, width, .5, []);
		line(c, width, .99, [4, 3]);
		c.fillStyle = colour("faint");
		c.font = "12px system-ui, sans-serif";
		c.textAlign = "right";
		c.textBaseline = "middle";
		const step = Math.max(1, Math.ceil((top - bottom) / 10 / 4) * 4);

		for (let bucket = Math.ceil(bottom / 4) * 4; bucket <= top; bucket += step)
			c.fillText(duration(low(bucket)), left - 6, Math.min(height - 6, Math.max(6, yOf(bucket))));
		c.textBaseline = "top";
		const labels = Math.max(2, Math.floor((width - left) / 110));

		for (let i = 0; i < labels; i++) {
			c.textAlign = i === labels - 1 ? "right" : i ? "center" : "left";
			c.fillText(clock(first + span * i / (labels - 1), clockParts), left + (width - left) * i / (labels - 1), height + 5);
		}
	}

	function tell() {
		const cell = cells.find(c => c[0] === cursor[0]);
		const count = cell ? cell[2 + cursor[1] - cell[1]] || 0 : 0;
		const [since, now] = moments[cursor[0]];
		let text = `${clock(since, clockParts)}\u2013${clock(now, clockParts)}, ${bucketRange(cursor[1])}: ${plain(count, 0)} times`;

		if (cell)
			text += `; p50 ${bucketRange(percentileOf(cell.slice(2), cell[1], .5))}, p99 ${bucketRange(percentileOf(cell.slice(2), cell[1], .99))}`;
		readout.textContent = shown(text);
	}

	canvas.addEventListener("mousemove", event => {
		const box = canvas.getBoundingClientRect();
		const ms = first + span * (event.clientX - box.left - left) / (box.width - left);
		const at = moments.findIndex(m => ms < m[1]);

		cursor = [at < 0 ? moments.length - 1 : at,
			Math.min(top - 1, Math.max(bottom, bottom + Math.floor((height - (event.clientY - box.top)) * (top - bottom) / height)))];
		tell();
	});
	onKeys(canvas, () => moments.length, at => {
		cursor[0] = at;
		tell();
	}, by => {
		cursor[1] = Math.min(top - 1, Math.max(bottom, cursor[1] + by));
		tell();
	});
	redrawn.push(draw);

	const key = legend([`1 to ${plain(most, 0)} times in a moment and bucket`, "p50 of the moment", "p99 of the moment"], (c, i) => {
		c.clearRect(0, 0, 56, 28);
		if (!i) {
			for (let x = 0; x < 56; x++) {
				c.fillStyle = mix(colour("heat0"), colour("heat1"), x / 55);
				c.fillRect(x, 0, 1, 28);
			}
			return;
		}
		c.strokeStyle = colour("c1");
		c.lineWidth = 4;
		c.setLineDash(i === 2 ? [8, 6] : []);
		c.beginPath();
		c.moveTo(0, 14);
		c.lineTo(56, 14);
		c.stroke();
	});
	const element = figure(`How long it took, over time: ${plain(total, 0)} times of ${groupName(group)}`, [canvas, readout, key],
		{ "data-heat": table.table, "data-time": time, "data-total": total });

	return { element, draw };
}

function heatPart(table) {
	const times = [...new Set(table.groups.flatMap(g => Object.keys(g.heat)))];
	const parts = times.map(time => {
		const here = place();
		const has = g => (g.heat[time] || []).length;
		const show = group => here.show(heatFigure(table, time, group));
		const choice = grouped("Of", table, ["all", "vm", "labels"], has, show);

		return choice.list.length && moments.length ? {
			element: h("div", {}, h("h3", {}, `Latency: ${time.replace(/_buckets$/, "").replace(/_/g, " ")}`),
				h("div", { class: "controls" }, choice.label), here.element),
			draw: () => show(choice.list[0]),
		} : null;
	}).filter(p => p);

	return parts.length ? {
		element: h("div", {}, ...parts.map(p => p.element)),
		draw: () => parts.forEach(p => p.draw()),
	} : null;
}

// Tables

const ALWAYS_SAME = ["ts_ns", "time", "interval_ns", "vm_id"];

function compare(a, b) {
	if (a === null || b === null)
		return (a === null) - (b === null);
	if (typeof a === "number" && typeof b === "number")
		return a - b;
	return inWords(a) < inWords(b) ? -1 : inWords(a) > inWords(b) ? 1 : 0;
}

// columns: { name, type, role, title, help }; rows: arrays of their values
function dataTable(name, words, columns, rows) {
	const kept = columns.map((c, i) => [c, i]).filter(([, i]) => rows.some(r => r[i] !== null && r[i] !== undefined));
	const body = h("tbody");
	const heads = kept.map(([c, i]) => {
		const button = h("button", { type: "button", title: explain(c) }, columnName(c));
		const head = h("th", { scope: "col", class: (isNumber(c) ? "number" : "") + (c.extra ? " extra" : "") }, button);

		button.addEventListener("click", () => {
			// Names the least first, numbers the greatest.
			const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : isNumber(c);

			heads.forEach(other => other.removeAttribute("aria-sort"));
			head.setAttribute("aria-sort", down ? "descending" : "ascending");
			fill([...rows].sort((a, b) => a[i] === null || b[i] === null ? compare(a[i], b[i]) :
				down ? compare(b[i], a[i]) : compare(a[i], b[i])));
		});
		return head;
	});

	function fill(list) {
		body.replaceChildren(...list.map(row => h("tr", {}, ...kept.map(([c, i]) => {
			const text = cellText(c, row[i]);
			const kind = isNumber(c) ? "number" : text.length > 32 ? "text long" : "text";

			return h("td", { class: kind + (c.extra ? " extra" : ""), "data-column": c.name, "data-value": JSON.stringify(row[i] === undefined ? null : row[i]) }, text);
		}))));
	}

	fill(rows);
	return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": words },
		h("table", { "data-table": name },
			h("caption", {}, words, columns.some(c => c.extra) ? h("span", { class: "printed" }, "; columns that do not fit a table are not printed") : null), h("thead", {}, h("tr", {}, ...heads)), body));
}

function rowsPart(table) {
	// What has no title no other table has room for.
	const columns = table.columns.map(c => ({ ...c, extra: !c.title, name: ALWAYS_SAME.includes(c.name) && !table.events ? null : c.name }));
	const rows = table.rows.map(r => r.map((v, i) => columns[i].name === null ? null : v));
	const words = `${table.events ? "Single events, the longest first" : "Of the whole run, the costliest first"}: ${rows.length} rows` +
		(table.more_rows ? `; ${plain(table.more_rows, 0)} more did not fit` : "");

	return rows.length ? h("div", {}, h("h3", {}, "Rows"), dataTable(table.table, words, columns, rows)) : null;
}

function tableSection(table) {
	const rates = ratesPart(table), heat = heatPart(table), rows = rowsPart(table);

	if (!rates && !heat && !rows)
		return null;
	return {
		section: h("section", { id: table.table }, h("h2", {}, table.title),
			h("p", { class: "note" }, `Table ${table.table} of ${table.monitor}`),
			rates && rates.element, heat && heat.element, rows),
		draw() {
			if (rates)
				rates.draw();
			if (heat)
				heat.draw();
		},
	};
}

// What got lost, hooks, VMs, and how it was measured

const asColumns = names => names.map(name => ({ name, role: "label", type: name.endsWith("_ns") ? "ns" : name === "count" || name === "runs" ? "number" : "string" }));
const objectTable = (name, words, names, objects) => dataTable(name, words, asColumns(names), objects.map(o => names.map(n => o[n] === undefined ? null : o[n])));

function lossSection() {
	const lost = {}, by = data.summaries.flatMap(s => s.lost_by || []);

	for (const summary of data.summaries)
		for (const [kind, count] of Object.entries(summary.lost || {}))
			lost[kind] = (lost[kind] || 0) + count;
	const sum = Object.values(lost).reduce((a, b) => a + b, 0);

	return h("section", { id: "losses", "data-lost": sum }, h("h2", {}, "Losses"),
		!data.summaries.length ? h("p", { class: "bad" }, "Unknown: the run has no end here.") :
		sum ? h("p", { class: "bad" }, `${plain(sum, 0)} events were lost: the numbers shown are too low.`) :
			h("p", { class: "good" }, "Nothing was lost."),
		sum ? objectTable("lost", "By kind", ["kind", "count"], Object.entries(lost).filter(e => e[1]).map(([kind, count]) => ({ kind, count }))) : null,
		by.length ? objectTable("lost_by", "Whose it was", ["kind", "monitor", "vm", "pid", "count"], by) : null);
}

function hookSection() {
	const from = data.summaries.length ? data.summaries : data.starts;
	const hooks = from.flatMap(s => s.hooks || []);
	const order = { missing: 0, replaced: 1, attached: 2 }, signs = { missing: "\u2717", replaced: "\u2248", attached: "\u2713" };
	const missing = hooks.filter(hook => hook.state === "missing");
	const list = [...hooks].sort((a, b) => order[a.state] - order[b.state])
		.map(hook => ({ ...hook, state: `${signs[hook.state] || ""} ${hook.state}` }));

	return h("section", { id: "hooks", "data-missing": missing.length }, h("h2", {}, "Hooks"),
		missing.length ? h("p", { class: "bad" }, `${missing.length} of ${hooks.length} are missing: data that depends on them is absent.`) :
			h("p", { class: "good" }, `All ${hooks.length} were attached.`),
		hooks.length ? objectTable("hooks", "Missing ones first", ["state", "monitor", "need", "hook", "why", "runs", "run_ns"], list) : null);
}

function vmSection() {
	const names = [...new Set(data.vms.flatMap(Object.keys))].filter(n => !["monitor", "scope", "ts_ns"].includes(n));

	return data.vms.length ? h("section", { id: "vms" }, h("h2", {}, "VMs"),
		objectTable("vms", `${data.vms.length} VMs` + (data.more_vms ? `; ${data.more_vms} more did not fit` : ""), names, data.vms)) : null;
}

function aboutSection() {
	const items = [];
	const add = (name, value) => value === undefined || value === null || items.push(h("dt", {}, name), h("dd", {}, value));

	for (const run of data.starts) {
		const host = run.host || {};

		add("Host", `${host.hostname === null ? "(masked)" : host.hostname}, ${host.cpus} CPUs`);
		add("Kernel", host.kernel);
		add("KVM module", host.vendor);
		add("Begin", run.time);
		add("kvm_watcher", run.version);
		add("Options", run.options ? run.options.join(" ") : undefined);
		add("Interval", run.interval_ns ? duration(run.interval_ns) : undefined);
	}
	add("Points", `${moments.length}` + (data.intervals_each > 1 ? `, each of ${data.intervals_each} intervals` : ", an interval each"));
	for (const summary of data.summaries) {
		add("End", summary.time);
		add("Length", summary.duration_ns ? duration(summary.duration_ns) : undefined);
		add("CPU time of kvm_watcher", summary.self_cpu_ns === undefined ? undefined : duration(summary.self_cpu_ns));
	}
	return h("section", { id: "about" }, h("h2", {}, "How it was measured"), h("dl", {}, ...items),
		h("details", {}, h("summary", {}, "The first and the last object of the run"),
			h("pre", { tabindex: 0 }, ...[...data.starts, ...data.summaries].map(o => h("code", {}, JSON.stringify(o)))),
		));
}

// Two recordings, compared

// Both values of a row as bars, the larger one as long as there is room.
function pair(a, b, unit) {
	const most = Math.max(a, b) || 1;
	const one = (name, value) => h("div", { class: "side" }, h("span", { class: "name" }, name),
		h("meter", { min: 0, max: most, value, "aria-label": name }),
		h("span", {}, `${plain(value, 4)} ${unit}`));

	return h("div", { class: "pair" }, one("A", a || 0), one("B", b || 0));
}

const SAYS = ["worse", "better", "more", "less"], MOST_PAIRS = 20;

function pairsPart(table) {
	const at = name => table.columns.findIndex(c => c.name === name);
	const value = (row, name) => row[at(name)];
	const rows = table.rows.filter(r => SAYS.includes(value(r, "verdict"))).slice(0, MOST_PAIRS);

	if (!rows.length)
		return h("p", { class: "good", id: "no-difference" }, "No difference is both significant and large.");
	return h("ul", { class: "pairs", id: "pairs" }, ...rows.map(r => h("li", { "data-verdict": value(r, "verdict") },
		h("span", { class: value(r, "verdict") === "worse" ? "bad" : "good" }, value(r, "verdict")), " ",
		shown([value(r, "vm"), value(r, "vcpu") === null ? null : `vCPU ${value(r, "vcpu")}`, value(r, "of_table"), value(r, "labels"), value(r, "column")].filter(Boolean).join(", ")),
		value(r, "change") === null ? " (was 0)" : ` (${value(r, "change") > 0 ? "+" : ""}${plain(value(r, "change"), 1)} %)`,
		pair(value(r, "a"), value(r, "b"), value(r, "unit")))));
}

function diffSection(diff) {
	const items = [];

	for (const [name, side] of [["A", diff.a], ["B", diff.b]]) {
		const run = side.start || {}, of = run.host || {};

		items.push(h("dt", {}, name), h("dd", {}, shown(`${of.hostname || "a host"}, ${of.kernel || "?"}, ${run.time || "?"}, ` +
			`${duration(side.duration_ns)}, ${side.vcpus} vCPUs, compared in ${side.blocks} intervals`)));
	}
	return h("section", { id: "comparison" }, h("h2", {}, "A, then B"), h("dl", {}, ...items),
		diff.differs.length ? h("ul", { id: "differs" }, ...diff.differs.map(word => h("li", { class: "bad" }, shown(`Different ${word}`)))) :
			h("p", { class: "good" }, "Kernels, monitors, hooks and losses are the same."),
		...data.tables.filter(table => table.table === "DIFF").map(pairsPart));
}

// All together

function build() {
	const main = document.getElementById("report"), nav = h("ul"), later = [];
	const host = (start.host || {}).hostname;
	const add = (section, name) => {
		main.append(section);
		nav.append(h("li", {}, h("a", { href: "#" + section.id }, name)));
	};
	const silent = [];

	if (moments.length)
		document.getElementById("subtitle").textContent = shown(
			`${clock(moments[0][0], "day")} ${clock(moments[0][0])} to ${clock(moments[moments.length - 1][1])}` +
			` (UTC${zone.length ? zone.join("").replace(/(\d\d)(\d\d)$/, "$1:$2") : "+00:00"}), ${duration(span * 1e6)}`);
	if (host) {
		document.title = shown(`${host} \u2013 kvm_watcher`);
		document.getElementById("title").textContent = shown(`KVM on ${host}`);
	}
	for (const diff of data.diffs) {
		document.getElementById("title").textContent = "What changed from A to B";
		add(diffSection(diff), "A, then B");
	}
	for (const table of data.tables)
		if (stackOf(table).length && groupsOf(table, "all").length && moments.length) {
			const part = stackSection(table);

			add(part.section, "Where the time went");
			later.push(part);
		}
	for (const table of data.tables) {
		const part = tableSection(table);

		if (!part) {
			silent.push(table.table);
			continue;
		}
		add(part.section, table.table);
		later.push(part);
	}
	if (silent.length)
		main.append(h("p", { class: "note", id: "silent" }, `Nothing was seen for ${silent.join(", ")}.`));
	if (!data.diffs.length) {
		add(lossSection(), "Losses");
		add(hookSection(), "Hooks");
	}
	if (data.vms.length)
		add(vmSection(), "VMs");
	if (!data.diffs.length)
		add(aboutSection(), "How it was measured");
	document.getElementById("nav").append(nav);
	for (const part of later)
		part.draw();
}

// For tests: what a browser has to say of the page, where it can be read.
function report() {
	root.dataset.errors = errors;
	root.dataset.violations = violations;
	root.dataset.requests = performance.getEntriesByType("resource").length;
	root.dataset.width = innerWidth;
	root.dataset.scrollWidth = root.scrollWidth;
	root.dataset.charts = document.querySelectorAll(".uplot").length;
	root.dataset.done = "yes";
}

build();
if (location.hash === "#test")
	requestAnimationFrame(() => setTimeout(report));
}());
