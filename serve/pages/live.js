// What a page does besides being read: it asks for itself again when the server says that
// something has changed, sends its controls when they are changed, tells a chart's values
// under the pointer and by arrow keys, and saves figures as PNG. Without it all is there to
// read, and the buttons send the controls.
"use strict";
(() => {
  const body = document.body, live = document.getElementById("live");
  document.documentElement.classList.add("scripted");
  const say = words => { if (live && live.textContent !== words) live.textContent = words; };

  // ---- asking for the page again

  let asking = false, again = false;
  async function refresh() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      do {
        again = false;
        const has = [...document.querySelectorAll("[data-part]")].map(p => p.id + "=" + p.dataset.part).join(" ");
        const answer = await fetch(location.href, {headers: {Accept: "text/html", "Ablate-Has": has}});
        const text = await answer.text();
        const page = new DOMParser().parseFromString(text, "text/html");
        if (!answer.ok && !page.querySelector("[data-part]")) { say(page.querySelector(".broken")?.textContent ?? "the server refuses"); return; }
        merge(page);
      } while (again);
    } catch { /* the server is away; the stream of events says when it is back */ } finally { asking = false; }
  }

  // Parts that differ are replaced; the server leaves out what the others hold. What is open, scrolled, sorted or
  // focused in them stays so.
  function merge(page) {
    body.dataset.version = page.body.dataset.version ?? "";
    document.title = page.title;
    const fresh = new Map([...page.querySelectorAll("[data-part]")].map(p => [p.id, p]));
    for (const part of document.querySelectorAll("[data-part]")) {
      const next = fresh.get(part.id);
      if (!next) { part.remove(); continue; }
      fresh.delete(part.id);
      if ("same" in next.dataset || part.dataset.part === next.dataset.part) continue;
      const state = keep(part);
      part.replaceChildren(...document.importNode(next, true).childNodes);
      part.dataset.part = next.dataset.part;
      state();
    }
    const main = document.getElementById("main");
    for (const part of fresh.values()) { // what was not there before
      if (part.parentElement.closest("[data-part]")) continue;
      const copy = document.importNode(part, true);
      const home = part.parentElement.id ? document.getElementById(part.parentElement.id) : null;
      if (part.parentElement.id && !home) continue;
      (home ?? main).append(copy);
    }
    sections(page);
    charts();
  }

  // A section that holds controls is no part of its own; where it is new, it comes as a whole.
  function sections(page) {
    const main = document.getElementById("main");
    for (const s of page.querySelectorAll("#main > section:not([data-part]), #main > form")) {
      if (s.id && !document.getElementById(s.id)) main.append(document.importNode(s, true));
    }
  }

  function keep(part) {
    const path = e => { // a way back to an element that is replaced
      const steps = [];
      for (; e !== part; e = e.parentElement) steps.unshift([...e.parentElement.children].indexOf(e));
      return steps;
    };
    const at = steps => steps.reduce((e, i) => e?.children[i], part);
    const focus = part.contains(document.activeElement) && document.activeElement !== part ? path(document.activeElement) : null;
    const sorted = [...part.querySelectorAll("table[data-sorts]")].map(t => t.tHead.querySelector("[aria-sort]"))
      .map(head => head && [head.cellIndex, head.getAttribute("aria-sort")]);
    const open = [...part.querySelectorAll("details")].map(d => d.open);
    const boxes = new Set([...part.querySelectorAll("input[name=run]:checked")].map(b => b.value));
    const scrolled = [...part.querySelectorAll(".scroll, pre")].map(e => [e.scrollLeft, e.scrollTop, e.scrollTop + e.clientHeight >= e.scrollHeight - 4]);
    return () => {
      part.querySelectorAll("details").forEach((d, i) => { if (i in open) d.open = open[i]; });
      part.querySelectorAll("input[name=run]").forEach(b => { b.checked = boxes.has(b.value); });
      part.querySelectorAll(".scroll, pre").forEach((e, i) => {
        if (!(i in scrolled)) return;
        e.scrollLeft = scrolled[i][0];
        e.scrollTop = scrolled[i][2] && e.tagName === "PRE" ? e.scrollHeight : scrolled[i][1]; // a log that was at its end follows
      });
      setTimeout(() => part.querySelectorAll("table[data-sorts]").forEach((t, i) => { // once its heads sort
        const [column, way] = sorted[i] ?? [], head = t.tHead.rows[0].cells[column]?.querySelector(".sort");
        for (let n = way === "descending" ? 2 : way ? 1 : 0; n; n--) head?.click();
      }));
      if (focus) at(focus)?.focus({preventScroll: true});
    };
  }

  for (const pre of document.querySelectorAll("#log pre")) pre.scrollTop = pre.scrollHeight;

  // ---- events

  let stream = null, retry = 1000;
  function listen() {
    if (!body.dataset.events || !window.EventSource) return;
    stream = new EventSource("/events?of=" + encodeURIComponent(body.dataset.events));
    stream.addEventListener("version", e => {
      say("live");
      retry = 1000;
      if (e.data !== body.dataset.version) refresh();
    });
    stream.onerror = () => {
      say("waiting for the server");
      body.dataset.version = "";
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again itself
      setTimeout(listen, retry);
      retry = Math.min(2 * retry, 15000);
    };
  }
  listen();
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", e => { if (e.persisted) { listen(); refresh(); } });

  // ---- controls: the address says what is shown

  function address(form) {
    const chosen = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value !== "") chosen.append(name, value);
    for (const name of ["show", "col"]) { // all boxes checked, or those that were by default, say nothing
      const boxes = [...document.querySelectorAll(`input[name=${name}]`)].filter(b => b.form === form);
      const touched = boxes.some(b => b.checked !== b.defaultChecked);
      const named = new URLSearchParams(location.search).has(name);
      if (name === "show" && boxes.every(b => b.checked) || !touched && !named) chosen.delete(name);
    }
    for (const select of form.elements) { // what was not touched and is not in the address is the usual
      if (select.tagName !== "SELECT") continue;
      const usual = [...select.options].find(o => o.defaultSelected);
      if (!new URLSearchParams(location.search).has(select.name) && usual && select.value === usual.value) chosen.delete(select.name);
    }
    const text = chosen.toString();
    return new URL(form.action).pathname + (text ? "?" + text : "");
  }

  function send(form) {
    const to = address(form);
    if (to === location.pathname + location.search) return;
    if (to.split("?")[0] !== location.pathname) { location.href = to; return; }
    history.pushState(null, "", to);
    refresh();
  }

  let typing = 0;
  document.addEventListener("change", e => {
    const form = e.target.form;
    if (form?.matches("[data-auto]")) { clearTimeout(typing); send(form); }
  });
  document.addEventListener("input", e => {
    const form = e.target.form;
    if (!form?.matches("[data-auto]") || e.target.type !== "search") return;
    clearTimeout(typing);
    typing = setTimeout(() => send(form), 300);
  });
  document.addEventListener("submit", e => {
    if (!e.target.matches("[data-auto]")) return;
    e.preventDefault();
    send(e.target);
  });
  addEventListener("popstate", () => location.reload());

  // Heads that sort are links; here they change the address without leaving the page.
  document.addEventListener("click", e => {
    const a = e.target.closest("#rows thead a, #rows > p a");
    if (!a || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
    e.preventDefault();
    history.pushState(null, "", a.href);
    const sort = new URL(a.href).searchParams.get("sort") ?? "";
    let field = document.querySelector("#choose input[name=sort]");
    if (!field) { field = Object.assign(document.createElement("input"), {type: "hidden", name: "sort"}); document.getElementById("choose").append(field); }
    field.value = sort;
    refresh();
  });

  // ---- charts: values under the pointer and by arrow keys

  function charts() {
    for (const chart of document.querySelectorAll(".chart")) {
      if (chart.dataset.ready === chart.innerHTML.length + "") continue;
      chart.tabIndex = 0;
      chart.setAttribute("role", "group");
      const title = chart.querySelector("svg title")?.textContent ?? "chart";
      chart.setAttribute("aria-label", title + ". Arrow keys tell its values.");
      let out = chart.nextElementSibling;
      if (!out?.matches(".readout")) {
        out = document.createElement("output");
        out.className = "readout";
        chart.after(out);
      }
      chart.dataset.ready = chart.innerHTML.length + "";
    }
  }

  const points = chart => {
    const svg = [...chart.querySelectorAll("svg")].find(s => s.getBoundingClientRect().width > 0);
    return svg ? [...svg.querySelectorAll("circle")].filter(c => c.querySelector("title")) : [];
  };
  const lineOf = c => [...c.classList].find(n => /^r\d+$/.test(n)) ?? [...c.classList][0];

  function tell(chart, point) {
    chart.querySelectorAll(".here").forEach(c => c.classList.remove("here"));
    point?.classList.add("here");
    const out = chart.nextElementSibling;
    if (out?.matches(".readout")) out.textContent = point?.querySelector("title").textContent ?? "";
    chart.here = point;
  }

  document.addEventListener("pointermove", e => {
    const chart = e.target.closest?.(".chart");
    if (!chart) return;
    let best = null, least = 30 * 30;
    for (const c of points(chart)) {
      const b = c.getBoundingClientRect(), dx = b.x + b.width / 2 - e.clientX, dy = b.y + b.height / 2 - e.clientY;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = c; }
    }
    if (best && best !== chart.here) tell(chart, best);
  }, {passive: true});

  document.addEventListener("keydown", e => {
    const chart = e.target;
    if (!chart.matches?.(".chart") || !e.key.startsWith("Arrow")) return;
    const all = points(chart);
    if (!all.length) return;
    e.preventDefault();
    if (!all.includes(chart.here)) { tell(chart, all[0]); return; }
    const lines = [...new Set(all.map(lineOf))], own = all.filter(c => lineOf(c) === lineOf(chart.here));
    let line = lines.indexOf(lineOf(chart.here)), i = own.indexOf(chart.here);
    if (e.key === "ArrowRight") i = Math.min(i + 1, own.length - 1);
    if (e.key === "ArrowLeft") i = Math.max(i - 1, 0);
    if (e.key === "ArrowDown") line = (line + 1) % lines.length;
    if (e.key === "ArrowUp") line = (line + lines.length - 1) % lines.length;
    const there = all.filter(c => lineOf(c) === lines[line]);
    tell(chart, there[Math.min(i, there.length - 1)]);
  });

  // ---- figures as PNG: the SVG file, drawn at twice its size

  document.addEventListener("click", async e => {
    const button = e.target.closest("button[data-png]");
    if (!button) return;
    const text = await (await fetch(button.dataset.png)).text();
    const [, width, height] = text.match(/viewBox="0 0 (\d+) (\d+)"/);
    const sized = text.replace("<svg ", `<svg width="${width}" height="${height}" `);
    const image = new Image();
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(sized);
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), {width: 2 * width, height: 2 * height});
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(blob => {
      const a = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: new URL(button.dataset.png, location.href).pathname.split("/").slice(-2).join("-").replace(/\.svg$/, ".png")});
      a.click();
      setTimeout(() => URL.revokeObjectURL(a.href), 1000);
    });
  });

  charts();
})();
