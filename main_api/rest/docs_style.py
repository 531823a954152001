"""The style of the page that describes the API."""

from typing import Final

STYLE: Final = """\
:root{color-scheme:light dark;--ink:#1d2430;--dim:#5d6877;--paper:#fff;--side:#f5f6f8;
--line:#dfe3e8;--code:#eef1f5;--accent:#1f5f8b;--get:#1f6f8b;--post:#2f7d4f;--put:#96631a;
--patch:#6b4fa0;--delete:#a8383b;--good:#2f7d4f;--bad:#a8383b}
@media(prefers-color-scheme:dark){:root{--ink:#dde3ea;--dim:#98a3b1;--paper:#14181e;
--side:#1a2028;--line:#2c343f;--code:#222a34;--accent:#7db8dd;--get:#4fa3c4;--post:#59b07d;
--put:#cf9a4b;--patch:#a68ad6;--delete:#d9706f;--good:#59b07d;--bad:#d9706f}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;display:grid;grid-template-columns:18rem minmax(0,1fr);background:var(--paper);
color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.25rem 1rem 3rem;
background:var(--side);border-right:1px solid var(--line)}
nav .top{display:block;font-size:1.15rem;font-weight:650;padding:0 .5rem .5rem}
nav h2{margin:1.1rem .5rem .3rem;font-size:.72rem;letter-spacing:.08em;text-transform:uppercase;
color:var(--dim);border:0}
nav a{display:flex;gap:.55rem;align-items:baseline;padding:.18rem .5rem;border-radius:.35rem;
color:inherit;text-decoration:none;font-size:.84rem;overflow-wrap:anywhere}
nav a:hover{background:var(--code)}
nav a em{flex:none;width:4.6em;text-align:right;background:none;padding:0;font-size:.62rem}
nav var{color:var(--dim)}
main{padding:2rem 2.5rem 6rem;max-width:62rem}
h1{margin:0 0 .6rem;font-size:1.9rem;letter-spacing:-.015em}
h2{margin:2.4rem 0 .7rem;font-size:1.2rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{margin:1.3rem 0 .4rem;font-size:.95rem}
p{margin:.5rem 0}
a{color:var(--accent)}
small{color:var(--dim);font-weight:400}
code,pre{font:.86em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{background:var(--code);padding:.08em .32em;border-radius:.25rem;overflow-wrap:anywhere}
pre{background:var(--code);padding:.8rem 1rem;border-radius:.4rem;overflow:auto;margin:.5rem 0}
em{font-style:normal;font-weight:700;font-size:.7rem;letter-spacing:.03em;padding:.12rem .45rem;
border-radius:.3rem;color:var(--tone);background:color-mix(in srgb,var(--tone) 14%,transparent)}
.get{--tone:var(--get)}.post{--tone:var(--post)}.put{--tone:var(--put)}.patch{--tone:var(--patch)}
.delete{--tone:var(--delete)}.good{--tone:var(--good)}.bad{--tone:var(--bad)}
i{font-style:normal;font-size:.72rem;color:var(--dim);border:1px solid var(--line);
border-radius:1rem;padding:.05rem .55rem;margin-left:.3rem;white-space:nowrap}
var{font-style:normal;color:var(--accent)}
details{border:1px solid var(--line);border-radius:.5rem;margin:.55rem 0;background:var(--paper)}
details:target{border-color:var(--accent)}
details:target::details-content{content-visibility:visible;display:contents}
summary{display:flex;flex-wrap:wrap;gap:.35rem .7rem;align-items:baseline;padding:.55rem .8rem;
cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
summary em{flex:none;min-width:4.4em;text-align:center}
summary code{background:none;padding:0;font-weight:600}
summary span{flex:1;min-width:12rem;color:var(--dim)}
summary:hover{background:var(--side);border-radius:.5rem}
details>div{padding:.2rem 1rem 1rem;border-top:1px solid var(--line)}
details.answer{margin:.3rem 0;border-radius:.4rem}
details.answer>summary{padding:.3rem .6rem}
details.answer em{min-width:3.2em}
.errors a{text-decoration:none;margin-right:.3rem}
table{width:100%;border-collapse:collapse;margin:.3rem 0}
th,td{text-align:left;vertical-align:top;padding:.4rem .5rem;border-top:1px solid var(--line)}
th{width:13rem;font-weight:400}
tr:first-child>th,tr:first-child>td{border-top:0}
th b{color:var(--bad);margin-left:.15rem}
th small,td>small{display:block}
td table th{width:10rem}
@media(max-width:56rem){body{display:block}nav{position:static;height:auto;max-height:40vh;
border-right:0;border-bottom:1px solid var(--line)}main{padding:1.25rem}th{width:8rem}
td table th{width:7rem}}
"""
