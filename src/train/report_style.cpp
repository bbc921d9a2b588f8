// The report's style sheet: system fonts, colours as variables, dark where the reader's system is.
#include "report_html.h"

namespace littlebit {

std::string_view style_sheet() {
  return R"css(
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #1b1f27; --soft: #5f6877; --line: #dfe3ea;
  --grid: #e9ecf1; --accent: #2b62d9; --good: #1a7f4b; --warn: #a15c00; --tint: #eef3fd;
  --c0: #2b62d9; --c1: #d9661f; --c2: #16936a; --c3: #8a4fd0; --c4: #c43d6b; --c5: #0e8ba8;
  --c6: #8a7a12; --c7: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111419; --card: #191d24; --ink: #e6e9ef; --soft: #97a1b2; --line: #2c323d;
    --grid: #262c36; --accent: #7aa5ff; --good: #5fd39a; --warn: #f0b45b; --tint: #1c2740;
    --c0: #7aa5ff; --c1: #ff9d5c; --c2: #4fcf9f; --c3: #bd93f9; --c4: #ff86ab; --c5: #56c8e3;
    --c6: #d8c75a; --c7: #9aa3b2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1140px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 12px; }
h3 { font-size: 14px; margin: 0; font-weight: 600; }
p { margin: 0 0 10px; }
code, pre {
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  font-size: 13px; overflow-wrap: anywhere;
}
.soft { color: var(--soft); }
.small { font-size: 13px; }
.state {
  display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 13px; font-weight: 600;
  color: var(--good); border: 1px solid currentColor; margin-right: 8px;
}
.state.open { color: var(--warn); }
.kicker {
  font-size: 12px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--accent); margin: 0 0 4px;
}
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tiles {
  display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr));
  margin: 20px 0 10px;
}
.tile { padding: 14px 16px; }
.tile .label { color: var(--soft); font-size: 13px; }
.tile .value {
  font-size: 27px; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums;
}
.whole { white-space: nowrap; }
.tile .note { color: var(--soft); font-size: 13px; }
.tile.main { background: var(--tint); border-color: var(--accent); }
.tile.main .value { color: var(--accent); }
.charts {
  display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr));
}
.charts > .chart:first-child:nth-last-child(odd) { grid-column: 1 / -1; }
.chart { padding: 14px 16px 10px; margin: 0; min-width: 0; }
.chart figcaption { margin: 0 0 8px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; color: var(--soft); }
.legend b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.key {
  display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; background: currentColor;
}
.key.dash { height: 0; background: none; border-top: 2px dashed currentColor; border-radius: 0; }
.key.block { width: 11px; height: 11px; }
.plot { position: relative; height: 210px; margin: 6px 14px 40px 52px; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot svg * { vector-effect: non-scaling-stroke; }
.plot .grid { stroke: var(--grid); stroke-width: 1; }
.plot .base { stroke: var(--line); stroke-width: 1; }
.plot path { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.plot path.faint { stroke-width: 1; opacity: .38; }
.plot path.trend { stroke-width: 2.2; }
.plot path.dot { stroke-width: 7; }
.plot path.dashed { stroke-dasharray: 5 5; stroke-linecap: butt; }
.plot span {
  position: absolute; font-size: 12px; line-height: 1; color: var(--soft); white-space: nowrap;
  font-variant-numeric: tabular-nums;
}
.plot .y { right: 100%; margin-right: 8px; transform: translateY(-50%); }
.plot .x { top: 100%; margin-top: 8px; transform: translateX(-50%); }
.plot .unit { top: 100%; margin-top: 25px; right: 0; }
.heat { display: grid; grid-template-columns: auto 1fr; gap: 3px 10px; align-items: center; }
.heat svg { width: 100%; height: 20px; display: block; }
.heat .ends { display: flex; justify-content: space-between; }
.ramp {
  display: inline-block; width: 90px; height: 10px; border-radius: 2px; vertical-align: middle;
  margin: 0 6px; background: linear-gradient(90deg, transparent, var(--c1));
}
.pad { padding: 14px 16px; margin-bottom: 14px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 14px 6px 0; vertical-align: top; }
th { white-space: nowrap; color: var(--soft); font-weight: 600; font-size: 13px; border-bottom: 1px solid var(--line); }
tbody tr + tr td { border-top: 1px solid var(--grid); }
th:last-child, td:last-child { padding-right: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.total td { font-weight: 650; border-top: 1px solid var(--line); }
tr.part td:first-child { padding-left: 20px; }
tr.part td { color: var(--soft); }
tr.default td { color: var(--soft); }
td .soft, td:first-child { white-space: nowrap; }
.meter {
  display: inline-block; width: 64px; height: 7px; border-radius: 4px; background: var(--grid);
  margin-left: 8px; vertical-align: middle; overflow: hidden; text-align: left;
}
.meter i { display: block; height: 100%; background: var(--c1); }
.stack { display: flex; height: 22px; border-radius: 5px; overflow: hidden; margin: 3px 0 12px; }
.stack i { display: block; min-width: 1px; }
.between > * { white-space: nowrap; }
.between { flex-wrap: wrap; display: flex; justify-content: space-between; gap: 12px; font-size: 13px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; padding: 2px 0; }
details[open] > summary { margin-bottom: 8px; }
pre { margin: 0; white-space: pre-wrap; }
footer { margin-top: 36px; color: var(--soft); font-size: 13px; }
@media (max-width: 560px) {
  main { padding: 18px 12px 32px; }
  h1 { font-size: 22px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .tiles > :last-child:nth-child(odd) { grid-column: 1 / -1; }
  .tile { padding: 10px 12px; }
  .tile .value { font-size: 21px; }
  .chart, .pad { padding: 12px; }
  .plot { height: 180px; margin-left: 46px; margin-right: 16px; }
  th, td { padding-right: 6px; }
  table, th { font-size: 12px; }
  .n .meter { display: none; }
  .stacked thead { display: none; }
  .stacked tr, .stacked td { display: block; padding: 0; }
  .stacked tr { padding: 6px 0; }
  .stacked tr + tr { border-top: 1px solid var(--grid); }
  .stacked tbody tr + tr td { border: 0; }
  .stacked td:first-child { font-weight: 600; white-space: normal; }
}
@media print { body { background: none; } .card { break-inside: avoid; } }
)css";
}

}  // namespace littlebit
