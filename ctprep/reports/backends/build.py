"""Making the backend that a name and its options ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctprep.reports.backends.rules_backend import RulesBackend
from ctprep.store.errors import TableError

if TYPE_CHECKING:
    from ctprep.reports.backends.backend import Backend


@dataclass(frozen=True)
class ModelOptions:
    """What a language model is asked with; None takes the backend's own."""

    model: str | None = None
    batch_size: int | None = None
    base_url: str | None = None
    key_variable: str | None = None
    concurrency: int | None = None
    timeout_s: float | None = None

    def given(self, *names: str) -> dict[str, object]:
        """Give the options of these names that were set.

        Raises:
            TableError: others were set, too.
        """
        return given_options(self, *names, of="report backend", page="docs/report_backends.md")


def given_options(options: object, *names: str, of: str, page: str) -> dict[str, object]:
    """Give those of some options that were set.

    Args:
        options: a dataclass whose fields are None where they were not set.
        names: of the fields that the one that was chosen takes.
        of: what was chosen, in a word: a report backend, a labeller.
        page: what tells which of them takes what.

    Raises:
        TableError: others were set, too.
    """
    values = {name: value for name, value in vars(options).items() if value is not None}
    if stray := sorted(values.keys() - set(names)):
        told = ", ".join(f"--{name.removesuffix('_s').replace('_', '-')}" for name in stray)
        raise TableError(
            f"this {of} does not take {told}",
            mend=f"leave it out; {page} tells which {of} takes what",
        )
    return values


def build_backend(
    name: str, options: ModelOptions | None = None, *, language: str | Path = "english"
) -> "Backend":
    """Make the backend of a name.

    Args:
        name: `rules`, `transformers` or `openai`.
        options: for the last two.
        language: word lists of the rules, by name or a TOML file.

    Raises:
        TableError: no backend has this name, or an option is missing or of another backend.
        BackendError: the model cannot be loaded, or the server not be asked.
    """
    options = options or ModelOptions()
    if name == "rules":
        options.given()
        return RulesBackend(language)
    if name not in {"transformers", "openai"}:
        raise TableError(
            f"there is no report backend {name!r}", mend="use 'rules', 'transformers' or 'openai'"
        )
    if not options.model:
        raise TableError(
            f"the backend {name!r} needs a model", mend="add --model, such as google/medgemma-4b-it"
        )
    # Late: the libraries are those of an extra.
    if name == "transformers":
        from ctprep.reports.backends.local_model import TransformersBackend

        return TransformersBackend(**options.given("model", "batch_size"))  # type: ignore[arg-type]
    if not options.base_url:
        # No default: reports go nowhere that was not named.
        raise TableError(
            "the backend 'openai' needs the address of a server",
            mend="add --base-url, such as http://localhost:8000/v1",
        )
    from ctprep.reports.backends.server import OpenAiBackend

    given = options.given("model", "base_url", "key_variable", "concurrency", "timeout_s")
    return OpenAiBackend(**given)  # type: ignore[arg-type]
