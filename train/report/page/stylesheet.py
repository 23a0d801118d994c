"""The page's look: one sheet inside the page, for light and dark, wide and narrow, and paper."""

STYLESHEET = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --back: #ffffff;
  --card: #ffffff; --line: #d5dae0; --tint: #f4f6f8; --link: #0058a3; --note: #fff6dd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a9b1ba; --back: #15181c;
  --line: #3a4149; --tint: #1e2329; --link: #7cc0ff; --note: #35301c; } }
* { box-sizing: border-box; }
html { font: 17px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  background: var(--back); color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 78rem; padding: 1.2rem clamp(.9rem, 4vw, 2.5rem) 3rem; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: .4rem 0 .6rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .8rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.08rem; margin: 2rem 0 .4rem; }
p, li, dd, figcaption { max-width: 48rem; overflow-wrap: anywhere; }
a { color: var(--link); }
.paper { display: none; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
.headline { font-size: 1.1rem; line-height: 1.5; font-weight: 500; margin: .8rem 0; }
.soft, .reading, .made, .footnotes, caption, footer { color: var(--soft); }
.soft, .reading { font-size: .92rem; }
.made, .footnotes { font-size: .86rem; }
.made { margin: .3rem 0 0; }
.footnotes ul { margin: -.6rem 0 1.2rem; padding-left: 1.1rem; }
.notes { background: var(--note); border-radius: .5rem; padding: .7rem 1rem; margin: 1rem 0; }
.notes h3 { margin: 0 0 .3rem; }
.notes ul { margin: 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: .8rem 0 1.2rem; max-width: 100%; }
.scroll:focus-visible, a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .92rem; padding-bottom: .4rem; }
caption span { display: block; position: sticky; left: 0; max-width: 48rem;
  width: calc(100vw - 2.2rem); }
th, td { padding: .38rem .65rem .38rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: baseline; white-space: nowrap; }
td.long { min-width: 17rem; white-space: normal; }
thead th { border-bottom: 2px solid var(--soft); }
tbody th { font-weight: 600; }
tr > :first-child { position: sticky; left: 0; background: var(--back); }
td.number, th.number { text-align: right; padding-left: .4rem; }
tr.focal > * { background: var(--tint); }
tr.focal > :first-child { box-shadow: inset 3px 0 0 var(--link); padding-left: .6rem; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .86em;
  overflow-wrap: anywhere; }
pre { background: var(--tint); padding: .7rem 1rem; border-radius: .5rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
figure { margin: .6rem 0 1.6rem; }
.panels { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem),
  1fr)); align-items: start; }
.panels.single { max-width: 42rem; }
.panels img { display: block; width: 100%; height: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; padding: .4rem; }
figcaption { margin-top: .6rem; }
.reading { margin: .3rem 0 0; }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; }
footer { margin-top: 2.5rem; border-top: 2px solid var(--line); padding-top: .8rem; }
@media (max-width: 480px) { html { font-size: 16px; } th, td { padding-right: .5rem; }
  h1 { font-size: 1.3rem; } .headline { font-size: 1.02rem; } .panels img { padding: 0; } }
@media print { :root { --ink: #000; --soft: #333; --back: #fff; --line: #bbb; --tint: #f2f2f2;
  --link: #000; --note: #f2f2f2; }
  html { font-size: 11pt; } body { max-width: none; padding: 0; } .skip { display: none; }
  .scroll { overflow: visible; } tr > :first-child { position: static; }
  th, td, td.long { white-space: normal; min-width: 0; }
  caption span { width: auto; } figure, tr { break-inside: avoid; }
  table { font-size: 7pt; } th, td { padding-right: .3rem; } td.number { white-space: nowrap; }
  .minor { display: none; } .paper { display: block; font-size: 8pt; margin: 0 0 .8rem; }
  h2, h3 { break-after: avoid; }
  .panels { grid-template-columns: repeat(auto-fit, minmax(8cm, 1fr)); } }
"""
