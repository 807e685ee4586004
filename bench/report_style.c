// SPDX-License-Identifier: MIT
/*
 * report_style.c - how the page of a benchmark looks: light or dark, on a phone or a desk.
 *
 * f0 to f7 are the families of targets: hues that stay apart for eyes that confuse red and green, with dashes as a second
 * sign within a family.
 */
#include "bench/report_style.h"

/* clang-format off */
const char report_style[] =
":root{color-scheme:light dark;--page:#f6f6f3;--card:#fdfdfb;--ink:#14140f;--soft:#55544e;--faint:#85847c;"
"--rule:#e3e2dc;--good:#00700c;--bad:#b32423;--good-bg:#e2f2e0;--bad-bg:#fbe4e2;"
"--f0:#2a78d6;--f1:#eb6834;--f2:#008300;--f3:#c98500;--f4:#4a3aa7;--f5:#1a9b6c;--f6:#d55181;--f7:#77766f}\n"
"@media(prefers-color-scheme:dark){:root{--page:#111110;--card:#1a1a19;--ink:#f4f4ef;--soft:#c3c2b7;--faint:#8f8e86;"
"--rule:#343431;--good:#63c96a;--bad:#f08a86;--good-bg:#17301a;--bad-bg:#3a1c1b;"
"--f0:#5598e7;--f1:#e0703f;--f2:#2fa52f;--f3:#d9a02a;--f4:#9f95ee;--f5:#2dbd88;--f6:#e27fa5;--f7:#a09f97}}\n"
"*{box-sizing:border-box}"
"body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif;"
"-webkit-text-size-adjust:100%}\n"
"main{max-width:1160px;margin:0 auto;padding:24px 16px 64px}\n"
"h1{font-size:1.7rem;line-height:1.2;margin:0 0 4px}h2{font-size:1.2rem;line-height:1.3;margin:0 0 2px}"
"p{margin:0 0 10px;max-width:90ch}.sub{color:var(--soft);font-size:.9rem}\n"
"section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px;margin:20px 0 0}\n"
".scroll{overflow-x:auto;-webkit-overflow-scrolling:touch;margin:10px -16px 0;padding:0 16px}"
".scroll:focus-visible{outline:2px solid var(--f0)}\n"
"table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;min-width:100%}"
"th,td{padding:5px 10px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}"
"th{color:var(--soft);font-weight:600}tr:last-child td,tr:last-child th{border-bottom:0}"
"th:first-child,td:first-child,.l{text-align:left}td:first-child,th:first-child{padding-left:0}"
"tr.us td,tr.us th{font-weight:650}tbody th{color:var(--ink);font-weight:500}"
".wrap{white-space:normal;min-width:9em}th small{color:var(--faint);font-weight:400}th br{display:none}\n"
".chip{display:inline-block;padding:0 8px;border-radius:9px;font-size:.8rem;font-weight:600}"
".good{color:var(--good);background:var(--good-bg)}.miss{color:var(--bad);background:var(--bad-bg)}.none{color:var(--faint)}\n"
".notes{color:var(--bad);font-size:.85rem;margin:8px 0 0;padding:0;list-style:none;overflow-wrap:anywhere}\n"
".key{display:flex;flex-wrap:wrap;gap:2px 16px;margin:12px 0 0;padding:0;list-style:none;font-size:.85rem;color:var(--soft)}"
".key svg{width:26px;height:10px;margin-right:6px;vertical-align:middle}\n"
".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:18px 24px;margin-top:14px}"
"figure{margin:0}figcaption{font-size:.9rem;font-weight:600;line-height:1.3;margin-bottom:4px}"
"figcaption small{font-weight:400;color:var(--soft);font-size:.8rem;display:block}"
"figure svg{display:block;width:100%;height:auto;max-width:460px;overflow:visible}\n"
"text{font-size:11px;fill:var(--soft);font-family:inherit;font-variant-numeric:tabular-nums}"
".name,.value{fill:var(--ink)}.value{font-weight:600}.bad{fill:var(--bad);font-size:10px}.tick{fill:var(--faint)}\n"
".grid{stroke:var(--rule)}.guide{stroke:var(--faint);stroke-dasharray:1 4;stroke-linecap:round}"
".line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
".written{--c:var(--faint);stroke-dasharray:5 4}.dashed{stroke-dasharray:6 4}.dotted{stroke-dasharray:1.5 4.5}"
".dot{fill:var(--c);stroke:var(--card);stroke-width:2;stroke-dasharray:none}"
".bar{fill:var(--c);stroke:none}.bar.dashed{opacity:.75}.bar.dotted{opacity:.5}.whisker{fill:none;stroke:var(--ink);stroke-width:1.25}\n"
".f0{--c:var(--f0)}.f1{--c:var(--f1)}.f2{--c:var(--f2)}.f3{--c:var(--f3)}.f4{--c:var(--f4)}.f5{--c:var(--f5)}"
".f6{--c:var(--f6)}.f7{--c:var(--f7)}\n"
"pre{background:var(--page);border:1px solid var(--rule);border-radius:6px;padding:10px;overflow-x:auto;"
"font:13px/1.5 ui-monospace,\"DejaVu Sans Mono\",monospace;margin:8px 0}"
"dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;font-size:.9rem;margin:8px 0 0}"
"dt{font-weight:600}dd{margin:0;color:var(--soft)}\n"
"@media(max-width:520px){main{padding:16px 10px 40px}section{padding:12px;border-radius:8px}"
".scroll{margin:10px -12px 0;padding:0 12px}dl{grid-template-columns:1fr}dd{margin-bottom:6px}h1{font-size:1.4rem}"
"th,td{padding:5px 7px}th br{display:inline}}\n"
"@media print{section{break-inside:avoid}}\n";
/* clang-format on */
