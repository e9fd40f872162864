// What a chart has at the place that is pointed at, or that the arrow keys have reached.

const readout = document.createElement("div");
readout.className = "readout";
readout.hidden = true;
const cursor = document.createElement("div");
cursor.className = "cursor";
cursor.hidden = true;
document.body.append(readout, cursor);

let plot = null;
let step = 0;

const dataOf = (plot) => JSON.parse(plot.closest("[data-chart]").dataset.chart);

function clear() {
  plot = null;
  readout.hidden = cursor.hidden = true;
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

function written(value, unit) {
  if (value === null) return "–";
  if (unit === "seconds") {
    if (value >= 120) return `${(value / 60).toFixed(1)} min`;
    return value >= 1 ? `${value.toFixed(2)} s` : `${(value * 1000).toPrecision(3)} ms`;
  }
  if (unit === "share") return `${(value * 100).toFixed(0)} %`;
  if (unit === "bytes") {
    let at = 0;
    for (; value >= 1024 && at < SIZES.length - 1; at++) value /= 1024;
    return `${at ? value.toFixed(1) : Math.round(value)} ${SIZES[at]}`;
  }
  return value.toLocaleString("en");
}

function when(at, seconds) {
  const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (seconds < 60) clock.second = "2-digit";
  const day = Date.now() - at > 20 * 3600 * 1000 ? { day: "numeric", month: "short" } : {};
  if (seconds >= 86400) return new Date(at).toLocaleDateString([], { day: "numeric", month: "short" });
  return new Date(at).toLocaleString([], { ...day, ...clock });
}

function show() {
  if (!plot || !plot.isConnected) return clear();
  const data = dataOf(plot);
  const count = data.series[0][2].length;
  step = Math.max(0, Math.min(count - 1, step));
  const head = document.createElement("b");
  head.textContent = when((data.at + step * data.step) * 1000, data.step);
  readout.replaceChildren(head);
  for (const [name, tone, values] of data.series) {
    const line = document.createElement("span");
    line.className = tone;
    line.textContent = `${name} ${written(values[step], data.unit)}`;
    readout.append(line);
  }
  readout.hidden = cursor.hidden = false;
  const box = plot.getBoundingClientRect();
  const left = box.left + ((step + 0.5) * box.width) / count;
  cursor.style.cssText = `left:${left}px;top:${box.top}px;height:${box.height}px`;
  const most = document.documentElement.clientWidth - readout.offsetWidth - 8;
  readout.style.cssText = `left:${Math.max(8, Math.min(left + 12, most))}px;top:${Math.max(8, box.top - readout.offsetHeight - 4)}px`;
}

document.addEventListener("pointermove", (event) => {
  const over = event.target.closest?.(".plot");
  if (!over) {
    if (plot && plot !== document.activeElement) clear();
    return;
  }
  plot = over;
  const box = plot.getBoundingClientRect();
  step = Math.floor(((event.clientX - box.left) / box.width) * dataOf(plot).series[0][2].length);
  show();
});

document.addEventListener("focusin", (event) => {
  if (!event.target.matches(".plot:focus-visible")) return clear();
  plot = event.target;
  step = Infinity;
  show();
});

document.addEventListener("keydown", (event) => {
  if (!plot || plot !== document.activeElement) return;
  const moves = { ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: Infinity };
  if (event.key === "Escape") return clear();
  if (!(event.key in moves)) return;
  event.preventDefault();
  step = moves[event.key];
  show();
});

document.addEventListener("scroll", show, { passive: true });
document.addEventListener("changed", show);
