"""`python -m tools.docs [DIR]`: write the site into build/docs, or DIR. Any warning of pdoc's is an error."""

from __future__ import annotations

import re
import sys
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path

import pdoc
import pdoc.doc
from markupsafe import Markup
from pdoc import render, render_helpers

import polymerase
import polymerase.driver  # imported lazily otherwise, and astor warns on Python 3.12 and later

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST = ("README.md", "tutorial.md")  # of the pages of docs/, these come first, the others by name

# What public classes have for the runtime and compiled code alone: it changes without notice. So do attributes that no
# docstring says a word about, which are left out by themselves.
INTERNAL = frozenset(
    {
        "Cache.open",
        "Cache.write",
        "Caller.__init__",
        "Func.__init__",
        "Func.again",
        "Func.bound_depth",
        "Func.depth",
        "Func.limit",
        "Func.once",
        "Func.raw",
        "Func.rebind",
        "Global.of_cell",
        "Instance.__init__",
        "Instance.bound_depth",
        "Instance.code",
        "Instance.func",
        "Instance.globals",
        "Instance.info",
        "Instance.memories",
        "Instance.namespace",
        "Instance.tables",
        "Memory.bind",
        "Memory.data",
        "Memory.expose",
        "Memory.views",
        "Module.decoded",
        "Snapshot.pieces",
        "Table.calls",
        "Table.elements",
        "Table.typed",
        "Table.write",
    }
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of docs/: its title is its first heading, `href` its file in the site."""

    href: str
    title: str
    markdown: str


def read(path: Path) -> Page:
    """The page in a file. Links to other pages lead to them in the site; those out of docs/ become plain text, for the
    site does not have what they name."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", text)
    text = re.sub(r"\]\(([\w-]+)\.md(#[\w-]*)?\)", lambda m: f"]({_href(m[1])}{m[2] or ''})", text)
    return Page(_href(path.stem), text.splitlines()[0].removeprefix("# "), text)


def _href(stem: str) -> str:
    return "index.html" if stem == "README" else f"{stem}.html"


def build(folder: Path) -> list[Path]:
    """Write the site into `folder`; return its files."""
    for module in (polymerase, polymerase.api):
        vars(module)["Snapshot"] = polymerase.Snapshot  # imported lazily otherwise: pdoc looks at what is there
    for value in vars(polymerase).values():
        # A NamedTuple's constructor keeps its types as names that only its own module can read.
        if isinstance(value, type) and issubclass(value, tuple):
            new: typing.Any = value.__new__
            new.__annotations__ = typing.get_type_hints(value)
    docs = ROOT / "docs"
    pages = [read(docs / name) for name in (*FIRST, *sorted({path.name for path in docs.glob("*.md")} - {*FIRST}))]
    render.configure(
        docformat="markdown", show_source=False, search=False, template_directory=Path(__file__).resolve().parent
    )
    render.env.globals.update(pages=pages, internal=INTERNAL | _unsaid())
    folder.mkdir(parents=True, exist_ok=True)
    pdoc.pdoc("polymerase", output_directory=folder)
    reference = folder / "polymerase.html"
    reference.write_text(_with_links(reference.read_text(encoding="utf-8")), encoding="utf-8")
    for page in pages:
        html = render_helpers.to_html(page.markdown)
        contents = Markup(getattr(html, "toc_html", None) or "")
        text = render.env.get_template("page.html.jinja2").render(
            page=page, text=Markup(html), contents=contents, all_modules={}
        )
        (folder / page.href).write_text(text, encoding="utf-8")
    return sorted(folder.glob("*.html"))


def _unsaid() -> set[str]:
    """Attributes of public classes that neither have a docstring nor are named in that of their class. The fields of a
    dataclass or tuple are what its constructor takes, and so are public."""
    unsaid = set()
    for cls in pdoc.doc.Module(polymerase).classes:
        fields = {*getattr(cls.obj, "_fields", ()), *getattr(cls.obj, "__dataclass_fields__", ())}
        for name, member in cls.members.items():
            if isinstance(member, pdoc.doc.Variable) and not member.docstring and name not in fields:
                if f"`{name}`" not in cls.docstring:
                    unsaid.add(member.qualname)
    return unsaid


def _with_links(html: str) -> str:
    """Types as their public names, each linked: `polymerase_runtime.types.FuncType` is where one is defined. Links to
    what the page leaves out become text."""

    def public(found: re.Match[str]) -> str:
        name = found[1]
        return f'<a href="#{name}">{name}</a>' if name in polymerase.__all__ else name

    start = r"\bpolymerase(?:_runtime)?"
    html = re.sub(start + r"(?:\.[a-z_]+)+\.([A-Z]\w*)", public, html)
    # In signatures each part of a name is an element of its own.
    dot = '</span><span class="o">.</span><span class="n">'
    html = re.sub(start + f"(?:{re.escape(dot)}[a-z_]+)+{re.escape(dot)}([A-Z]\\w*)", public, html)
    ids = set(re.findall(r'id="([^"]*)"', html))
    return re.sub(r'<a href="#([^"]*)">(.*?)</a>', lambda m: m[0] if m[1] in ids else m[2], html)


def main() -> None:
    """Build, print what was written."""
    warnings.simplefilter("error")
    for path in build(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "docs"):
        print(path)


if __name__ == "__main__":
    main()
