"""The page from its parts: page.html, page.css, page.js, the bundle's files and PyTorch's answers, in one file."""

import base64
import hashlib
import json
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from weights_export import Bundle, BundleError

from .pytorch import answers

HERE = Path(__file__).parent


def write(bundle: Bundle, output: Path) -> None:
    """Write the page of a bundle, every byte of which is checked first.

    Raises: BundleError for a bundle that is damaged or holds no prompts; OSError as the file system does.
    """
    bundle.verify()
    if not bundle.manifest["prompts"]:
        raise BundleError(f"{bundle.folder} holds no prompts: export it without --head-only")
    output.write_text(html(bundle), encoding="utf-8", newline="\n")


def html(bundle: Bundle) -> str:
    """The page's text. Nothing but its own script and style may run, and nothing may be fetched: its policy says so."""
    style, script = (_embeddable(HERE / name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    names = ("manifest.json", *bundle.manifest["files"])
    files = [(name, base64.b64encode((bundle.folder / name).read_bytes()).decode("ascii")) for name in names]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (HERE / "page.html").read_text("utf-8")
    )
    return template.render(
        name=bundle.folder.name if bundle.folder.is_absolute() else bundle.folder.as_posix(),
        policy=Markup(policy),
        style=Markup(style),
        script=Markup(script),
        files=files,
        pytorch=Markup(json.dumps(answers(bundle)).replace("<", "\\u003c")),
    )


def _embeddable(path: Path) -> str:
    """A file as it can stand inside its element; what would end the element there is refused."""
    text = path.read_text("utf-8")
    if re.search(r"</(script|style)|<!--", text, re.IGNORECASE):
        raise ValueError(f"{path.name} holds an end tag or a comment, which would end it inside a page: rewrite it")
    return text


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
