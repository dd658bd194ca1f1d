"""The style of the HTML report: one style sheet, without external images or fonts.

Colours are variables, so that light, dark and paper differ in one place; each pair of text and ground has
a contrast of at least 4.5 to 1.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --sheet: #f6f7f9; --ink: #1a2230; --quiet: #566173; --line: #d9dee6;
  --accent: #1d4fa3; --warn-ground: #fff4d6; --warn-ink: #5c4300; --warn-line: #e6c766;
  --paid: #2f6fd0; --free: #25a18e; --research: #8a55c7; --people: #c77d1e; --unused: #98a1ae;
  --unknown: #c0392b; --support: #4f8fa8; --pool: #4a5568; --gain: #1f7a4d; --loss: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161d; --sheet: #1a2029; --ink: #e8ecf2; --quiet: #a3aebd; --line: #323b48;
    --accent: #8ab4f8; --warn-ground: #3a2f10; --warn-ink: #ffe3a1; --warn-line: #77621f;
    --paid: #6ea2f2; --free: #4cc4b0; --research: #b68ae8; --people: #e0a04d; --unused: #6f7a89;
    --unknown: #ef7a6d; --support: #7ab8d0; --pool: #8e99a8; --gain: #5fc592; --loss: #f28b82;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.75rem 0 .5rem; }
p { margin: .5rem 0; max-width: 52rem; }
.quiet { color: var(--quiet); }
.label {
  background: var(--warn-ground); color: var(--warn-ink); border: 1px solid var(--warn-line);
  border-radius: .5rem; padding: .6rem .9rem; margin: 1rem 0; max-width: none;
}
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--sheet); border-radius: .5rem; padding: .7rem .9rem; }
.tiles li > span { display: block; color: var(--quiet); font-size: .875rem; }
.tiles b { font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; font-size: .9375rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .35rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; } thead th { color: var(--quiet); font-size: .8125rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-right: 0;
  padding-left: .75rem; }
.n + :not(.n) { padding-left: .75rem; }
tr.sum th, tr.sum td { border-top: 2px solid var(--ink); font-weight: 700; }
tr.part th { font-weight: 400; color: var(--quiet); padding-left: 1.25rem; }
tr.part td { color: var(--quiet); }
.gain { color: var(--gain); } .loss { color: var(--loss); }
figure { margin: 1rem 0; }
figcaption { color: var(--quiet); font-size: .9375rem; margin-bottom: .5rem; }
svg.sankey { display: block; width: 100%; height: auto; }
.sankey text { font-size: 13px; fill: var(--ink); paint-order: stroke; stroke: var(--ground);
  stroke-width: 3.5px; stroke-linejoin: round; }
.sankey .amount { font-weight: 650; font-variant-numeric: tabular-nums; }
.node { fill: var(--pool); } .band { fill: var(--pool); fill-opacity: .32; }
.band:hover { fill-opacity: .6; }
.paid { fill: var(--paid); } .free { fill: var(--free); } .research { fill: var(--research); }
.unused { fill: var(--unused); } .unknown { fill: var(--unknown); } .support { fill: var(--support); }
.other { fill: var(--people); }
.narrow { display: none; }
.bar { width: 42%; min-width: 6rem; } thead .bar { text-align: center; }
.bar svg { display: block; width: 100%; height: 1.35rem; }
.bar .gain { fill: var(--gain); } .bar .loss { fill: var(--loss); }
.bar line { stroke: var(--quiet); stroke-width: 1; vector-effect: non-scaling-stroke; }
.bridge .bar { width: 50%; padding: 0 0 0 .75rem; vertical-align: middle; }
.bridge .bar svg { height: 2rem; } .bridge th, .bridge td { border-bottom: 0; }
.bridge tr.sum th, .bridge tr.sum td { border-top: 1px solid var(--line); }
.bridge .note { display: block; font-size: .8125rem; color: var(--quiet); overflow-wrap: anywhere; }
.bridge .heading th { font-weight: 400; font-size: .875rem; color: var(--quiet); padding-bottom: 0; }
details { margin: .35rem 0; } summary { cursor: pointer; color: var(--accent); padding: .25rem 0; }
blockquote { margin: .75rem 0; padding: .5rem 1rem; border-left: 4px solid var(--line);
  background: var(--sheet); }
blockquote p { margin: .25rem 0; overflow-wrap: anywhere; }
code { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  main { padding: 1rem 1rem 3rem; }
  .broad { display: none; } .narrow { display: block; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .6rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tiles b { font-size: 1.25rem; }
  table { font-size: .875rem; }
  .bars .cost, .bars .income { display: none; }
  .beside .n { padding-left: .4rem; } .beside tr > :nth-child(n + 5), .then tr > :nth-child(3),
  .planned tr > :nth-child(2) { display: none; }
  .noted tr { display: grid; grid-template-columns: 1fr auto; } .noted tr.sum > * { font-weight: 700; }
  .noted tr > .bar { grid-column: 1 / -1; width: auto; padding: 0; } .noted .bar svg { height: 1.25rem; }
  .asked tr > :nth-child(2) { display: none; } thead .n { white-space: normal; }
}
@media print {
  :root { color-scheme: light; --ground: #fff; --sheet: #fff; --ink: #000; --quiet: #444;
    --line: #bbb; --warn-ground: #fff; --warn-ink: #000; --warn-line: #000; }
  main { max-width: none; padding: 0; }
  .tiles li { border: 1px solid var(--line); }
  figure, tr, blockquote, .label { break-inside: avoid; } h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
  svg, rect, path { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
