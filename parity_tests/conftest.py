"""Profiles, the `spec` marker and the implementations under test.

HYPOTHESIS_PROFILE=dev       a few examples a test, seconds
HYPOTHESIS_PROFILE=ci        the default: derandomized, the same examples on every run
HYPOTHESIS_PROFILE=thorough  20 times the examples, random
HYPOTHESIS_PROFILE=mutation  a few fixed examples, for `make mutation`
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis.errors import FailedHealthCheck, Unsatisfiable

from . import strategies, suite
from .contract import SPECIFIED, Contract
from .heads import MIRROR, NO_HEAD, REFERENCE, Head, from_name, torch_generator
from .judges.words import UnusualWarning
from .local_torch_rng import OTHER_STREAM, local_stream_is_mt19937

if TYPE_CHECKING:  # importing it takes seconds, and few tests need it
    from transformers import GPT2LMHeadModel

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
CI_EXAMPLES = 50
settings.register_profile("dev", max_examples=10, deadline=None, print_blob=True)
settings.register_profile(
    "ci", max_examples=CI_EXAMPLES, derandomize=True, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile(
    "thorough", max_examples=20 * CI_EXAMPLES, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile(
    "mutation", max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--head",
        action="append",
        metavar="MODULE[:OBJECT]",
        help="judge this LM head, a module or object with the functions of reference.head, in place of ours",
    )
    parser.addoption(
        "--strict-head",
        action="store_true",
        help="an unusual result of --head fails its test; without this it is only listed (SPEC.md, What conforms)",
    )


def heads_under_test(config: pytest.Config) -> tuple[Head, ...]:
    names = config.getoption("--head")
    return tuple(map(from_name, names)) if names else (REFERENCE, MIRROR)


def pytest_configure(config: pytest.Config) -> None:
    """A --head that cannot be judged ends the run with one line."""
    try:
        heads = heads_under_test(config)
    except NO_HEAD as error:
        raise pytest.UsageError(f"--head: {error}") from None
    for head in heads:
        strategies.allowed &= set(head.contract.dtypes)
    if config.getoption("--head"):  # a warning inside somebody's head is no fault of it
        config.addinivalue_line("filterwarnings", "default")
        if config.getoption("--strict-head"):
            config.addinivalue_line("filterwarnings", f"error::{UnusualWarning.__module__}.{UnusualWarning.__name__}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what a head's contract declares to be otherwise."""
    head = _head_of(item)
    if head is not None and head.contract != SPECIFIED:
        reason = _otherwise(head.contract, item)
        if reason:
            pytest.skip(f"{head.name}: {reason}")


def _head_of(item: pytest.Item) -> Head | None:
    """The head that a test is about: the one that it takes, or the only one of this run."""
    head = getattr(item, "callspec", None) and item.callspec.params.get("head")  # type: ignore[attr-defined]
    if isinstance(head, Head):
        return head
    heads = heads_under_test(item.config)
    return heads[0] if len(heads) == 1 else None


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """A test of which every case has a dtype that the head does not have is skipped."""
    outcome = yield
    head = _head_of(pyfuncitem)
    nothing_left = outcome.excinfo is not None and issubclass(outcome.excinfo[0], (Unsatisfiable, FailedHealthCheck))
    if nothing_left and head is not None and set(head.contract.dtypes) != set(SPECIFIED.dtypes):
        outcome.force_exception(pytest.skip.Exception(f"{head.name} has none of its dtypes"))


def _otherwise(contract: Contract, item: pytest.Item) -> str:
    """Why a test does not apply under this contract; "" if it does."""
    rules = {rule for mark in item.iter_markers("spec") for rule in mark.args}
    given = item.callspec.params if hasattr(item, "callspec") else {}
    of_refusals = item.path.name == "test_refusals.py" or bool(rules & {"OUT-4", "OUT-7"})
    if of_refusals and contract.refusals == "none":
        return "its contract leaves bad input undefined"
    for key, name, meaning in (("zero_temperature", "temperature", "T = 0"), ("zero_k", "k", "k = 0")):
        value = given.get(name)
        if of_refusals and type(value) in (int, float) and value == 0 and getattr(contract, key) != "refused":
            return f"its contract gives {meaning} a meaning"
    if contract.rule_for_ties() != "lowest_id" and rules & {"TOPK-2", "TOPK-3"}:
        return "its contract has another rule for ties"
    of_the_stream = item.path.name == "test_torch_rng.py" or "mt19937_stream" in getattr(item, "fixturenames", ())
    if contract.stream == "own" and of_the_stream:
        return "its contract has a random stream of its own"
    return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --head only the tests of a head are left: those beside this file. The others are about this project."""
    if config.getoption("--head"):
        of_a_head = [item for item in items if item.path.parent == Path(__file__).parent]
        config.hook.pytest_deselected(items=[item for item in items if item not in of_a_head])
        items[:] = of_a_head


def pytest_report_header(config: pytest.Config) -> str:
    import transformers

    return (
        f"heads: {', '.join(head.name for head in heads_under_test(config))}; "
        f"profile {os.environ.get('HYPOTHESIS_PROFILE', 'ci')}; "
        f"numpy {np.__version__}, torch {torch.__version__} ({torch.get_num_threads()} threads), "
        f"transformers {transformers.__version__}; PyTorch's stream is "
        f"{'MT19937' if local_stream_is_mt19937() else 'another than MT19937'}"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`head` is each implementation under test, `generator` each one's own NumPy re-enactment of PyTorch's stream."""
    heads = heads_under_test(metafunc.config)
    if "head" in metafunc.fixturenames:
        metafunc.parametrize("head", heads, ids=repr, scope="session")
    if "generator" in metafunc.fixturenames:
        own = [head for head in heads if head.torch_rng is not torch_generator]
        metafunc.parametrize("generator", [head.torch_rng for head in own], ids=map(repr, own), scope="session")


@pytest.fixture
def mt19937_stream() -> None:
    """Skips where seeds cannot mean the same tokens: the local PyTorch draws from another stream."""
    if not local_stream_is_mt19937():
        pytest.skip(OTHER_STREAM)


@pytest.fixture(scope="session")
def checkpoint() -> Any:
    """The embedded tiny GPT-2."""
    from weights_export.checkpoint import load

    return load("tiny")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory, checkpoint: Any) -> Path:
    """A bundle of the embedded tiny GPT-2, written once."""
    from weights_export.export import Options, export

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    export(checkpoint.source, Options(folder))
    return folder


gpt2_shaped = pytest.fixture(scope="session")(suite.gpt2_shaped)


REAL = os.environ.get("LM_HEAD_GPT2", "")  # a Hub id, or the folder of a checkpoint
OUTLIERS = [138, 378, 447]  # the hidden dimensions in which GPT-2 small is known to be dozens of times larger


def random_gpt2() -> "GPT2LMHeadModel":
    """GPT-2's configuration and random weights with its peculiarities: outlier dimensions, logits near -100."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(2)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    with torch.no_grad():
        embedding, norm = model.transformer.wte.weight, model.transformer.ln_f
        embedding.mul_(7)  # 0.02 -> 0.14, the spread of the trained embedding
        embedding[:, OUTLIERS] -= 0.6
        norm.bias[OUTLIERS] = 60
    return model


@pytest.fixture(scope="session")
def of_random_weights() -> "GPT2LMHeadModel":
    with torch.random.fork_rng(devices=[]):
        return random_gpt2()


@pytest.fixture(scope="session", params=["random weights", "LM_HEAD_GPT2"])
def gpt2(request: pytest.FixtureRequest, of_random_weights: "GPT2LMHeadModel") -> Any:
    if request.param == "random weights":
        return of_random_weights
    if not REAL:
        pytest.skip("LM_HEAD_GPT2 is not set: name a Hub id or a checkpoint folder")
    from weights_export.checkpoint import load

    return load(REAL).model


@pytest.fixture(scope="session")
def prompts(gpt2: "GPT2LMHeadModel") -> dict[str, torch.Tensor]:
    """Three rows of token ids, two of them padded on the left."""
    rng = np.random.default_rng(5)
    mask = torch.tensor([[1] * 12, [0] * 4 + [1] * 8, [0] * 11 + [1]])
    ids = torch.from_numpy(rng.integers(0, gpt2.config.vocab_size, (3, 12)))
    return {"input_ids": ids, "attention_mask": mask}
