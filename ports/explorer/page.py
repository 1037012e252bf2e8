"""Builds the page as one file: page.html, page.css, page.js, a bundle's files, PyTorch's answers, engines' orders."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from weights_export import Bundle, BundleError

from .orders import orders
from .pytorch import answers

HERE = Path(__file__).parent


def write(bundle: Bundle, output: Path) -> None:
    """Write the page of a bundle, after checking every byte of the bundle.

    Raises: BundleError if the bundle is damaged or holds no prompts; OSError if a file cannot be read or written.
    """
    bundle.verify()
    if not bundle.manifest["prompts"]:
        raise BundleError(f"{bundle.folder} holds no prompts: export it without --head-only")
    output.write_text(html(bundle), encoding="utf-8", newline="\n")


def html(bundle: Bundle) -> str:
    """The text of the page. Its security policy allows only its own script and style, and no network access."""
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
        pytorch=_json(answers(bundle)),
        orders=_json(orders()),
    )


def _json(data: Any) -> Markup:
    return Markup(json.dumps(data).replace("<", "\\u003c"))


def _embeddable(path: Path) -> str:
    """The text of a file, to go inside a script or style element. Raises: ValueError if it would end that element."""
    text = path.read_text("utf-8")
    if re.search(r"</(script|style)|<!--", text, re.IGNORECASE):
        raise ValueError(f"{path.name} holds an end tag or a comment, which would end it inside a page: rewrite it")
    return text


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
