"""`pytest --lm-head-port "COMMAND"`: the vectors as tests inside a porter's own suite, one item a vector group.

The command speaks PROTOCOL.md; MODULE[:OBJECT] in its place is a Python object, called without a process. The port is
started once, when the first of its items runs, and is always stopped at the end.

pytest loads this file in every environment that lm-head-parity is installed in. So it stands alone under a name that
nobody else has, and imports nothing of ours before the option is given.
"""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_PORT = pytest.StashKey[Any]()
NEEDED = ("ports", "parity_tests", "weights_export", "reference")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    group = parser.getgroup("LM head")
    group.addoption(
        "--lm-head-port",
        metavar="COMMAND",
        help="hold this port of an LM head against the vectors: a command that speaks ports/PROTOCOL.md, "
        "or MODULE:OBJECT in Python",
    )
    group.addoption("--lm-head-timeout", type=float, default=10.0, metavar="S", help="seconds a request may take")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse before anything is collected."""
    if config.getoption("--lm-head-port") is not None:
        _refuse_the_packages_of_others()


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add an item for each group of each vectors file."""
    if config.getoption("--lm-head-port") is None:
        return
    _refuse_the_packages_of_others()  # once more: what was collected may have put its folder in front
    from ports.vectors import load_all

    for vectors in load_all():
        for group in vectors.groups:
            items.append(VectorGroup.from_parent(session, name=f"{vectors.op}[{group.name}]", group=group))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the port."""
    port = config.stash.get(_PORT, None)
    if port is not None:
        port.close()


def _refuse_the_packages_of_others() -> None:
    """Ours lie beside this file.

    Raises: pytest.UsageError, on one line, for the first name under which Python finds another package.
    """
    for name in NEEDED:
        spec = find_spec(name)
        found = spec.origin if spec else None
        if Path(str(found)).resolve() != Path(__file__).resolve().with_name(name) / "__init__.py":
            raise pytest.UsageError(
                f"--lm-head-port: the package `{name}` is {found} here, not lm-head-parity's: "
                f"run this where no other `{name}` is in front of it"
            )


class PortDivergedError(Exception):
    """A vector group that the port does not pass; its text is the failing vectors."""


class VectorGroup(pytest.Item):
    """One group of vectors put to the port."""

    def __init__(self, *, group: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group = group

    def runtest(self) -> None:
        """Skipped where the port has nothing of the group, failed where any vector fails."""
        from parity_tests.judges.words import BAD, Word
        from ports.checker import vector_cases

        verdicts = [verdict for _, verdict in vector_cases.run(self._port(), list(self.group.cases), "vectors")]
        bad = [verdict for verdict in verdicts if verdict.word in BAD]
        if bad:
            raise PortDivergedError("\n".join(map(str, bad)))
        if verdicts and all(verdict.word == Word.NOT_CHECKED for verdict in verdicts):
            pytest.skip(verdicts[0].reason)

    def _port(self) -> Any:
        if _PORT not in self.config.stash:
            from ports.checker.port import NoPortError, from_command, from_python
            from ports.checker.process import Process

            text = self.config.getoption("--lm-head-port")
            words = shlex.split(text)
            try:
                python = len(words) == 1 and "/" not in text and ":" in text
                process = Process(words, self.config.getoption("--lm-head-timeout"))
                limit = self.config.getoption("--lm-head-timeout")
                self.config.stash[_PORT] = from_python(text, limit) if python else from_command(process)
            except NoPortError as error:
                pytest.exit(f"--lm-head-port {text}: {error}", returncode=2)
        return self.config.stash[_PORT]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The failing vectors alone, without a traceback of ours."""
        if isinstance(excinfo.value, PortDivergedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Where it is listed."""
        return "ports/vectors", None, f"{self.name} [{self.group.rule}]"
