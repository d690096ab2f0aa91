"""manage.py scan_models: find GGUF models, register them, and test their contexts."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from inference.context_test import journal
from inference.context_test.runner import Conditions, Interrupted, run_context_test
from inference.context_test.selection import (
    UnknownKvType,
    check_kv_type,
    kv_types_of,
    models_under,
)
from inference.context_test.surroundings import (
    OtherTestsRun,
    only_tests_here,
    surroundings_now,
)
from inference.engine_messages import engines_scan
from inference.management.context_test_report import (
    context_test_json,
    context_test_progress,
    print_context_tests,
)
from inference.management.output import rich_output
from inference.management.scan_report import print_scan, scan_progress
from registry.errors import ModelNotFound
from registry.models import ContextTest, Model
from registry.services import configured_roots, model_scan

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from inference.context_test.selection import KvTypes

#: Exit statuses: of shells for Ctrl-C, and for tests without a result.
_INTERRUPTED, _NOT_DONE = 130, 1
_NEED_TEST = ("kv_quant", "kv_type", "resume", "min_ctx", "max_ctx", "budget_minutes")


class Command(BaseCommand):
    help = (
        "Find GGUF models and register them. Files and folders whose names begin with "
        "a dot are skipped. The exit status is 1 if a path does not exist; unreadable "
        "files are in the report and leave it at 0. With --test-context the largest "
        "context of each model is measured as well; the exit status is 1 too if a test "
        "failed or was not finished."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "paths",
            nargs="*",
            type=Path,
            metavar="PATH",
            help="Folders or files. Default: models.dir and models.extra_dirs.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only report; write nothing."
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the report as JSON."
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="Delete models whose file is missing, including their settings.",
        )
        _add_test_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        _check_options(options)
        roots = options["paths"] or configured_roots()
        _check_roots(roots, are_given=bool(options["paths"]))
        with scan_progress(is_shown=not options["json"]) as on_progress:
            report = model_scan(
                roots=roots,
                dry_run=options["dry_run"],
                prune=options["prune"],
                progress=on_progress,
            )
        if not options["dry_run"]:
            engines_scan()
        if not options["json"]:
            with rich_output(self, options) as console:
                print_scan(report, console)
        if not options["test_context"]:
            if options["json"]:
                self.stdout.write(json.dumps(report.as_json(), indent=2))
            return
        tests = _run_tests(_chosen(roots, options), options)
        if options["json"]:
            found = {"context_tests": [context_test_json(*each) for each in tests]}
            self.stdout.write(json.dumps(report.as_json() | found, indent=2))
        elif tests:
            with rich_output(self, options) as console:
                print_context_tests(tests, console)
        else:
            self.stdout.write("No model that generates text was found to be tested.")
        if any(test.state != ContextTest.State.DONE for test, _ in tests):
            raise SystemExit(_NOT_DONE)


def _add_test_arguments(parser: ArgumentParser) -> None:
    tests = parser.add_argument_group("context tests")
    tests.add_argument(
        "--test-context",
        action="store_true",
        help="Measure the largest context of each model that generates text: it is "
        "filled to the end in a process of its own, at low priority.",
    )
    tests.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="Test only this model. May be given several times.",
    )
    tests.add_argument(
        "--kv-quant",
        action="store_true",
        help="Also with quantised KV caches: q8_0 and q4_0.",
    )
    tests.add_argument(
        "--kv-type",
        metavar="TYPE,…",
        help="With these KV types, as in q8_0,q4_0, instead of the one in force.",
    )
    tests.add_argument(
        "--resume",
        action="store_true",
        help="Go on after the last finished measurement of a test that was ended. "
        "Without it such a test begins again. A finished test is never repeated for "
        "the same file, hardware, settings and version of llama.cpp.",
    )
    tests.add_argument(
        "--min-ctx",
        type=int,
        metavar="N",
        help="The smallest context to measure, in tokens. Default: 512.",
    )
    tests.add_argument(
        "--max-ctx",
        type=int,
        metavar="N",
        help="The largest context to measure, in tokens. Default: the trained one.",
    )
    tests.add_argument(
        "--budget-minutes",
        type=float,
        metavar="N",
        help="Stop measuring after this time.",
    )


def _check_options(options: dict[str, Any]) -> None:
    """Raise CommandError for options that make no sense together."""
    if not options["test_context"]:
        given = [name for name in (*_NEED_TEST, "model") if options[name]]
        if given:
            raise CommandError(f"{_flag(given[0])} needs --test-context.")
        return
    if options["dry_run"]:
        raise CommandError("--test-context writes its results: leave --dry-run out.")
    for name in ("min_ctx", "max_ctx"):
        if options[name] is not None and options[name] < 256:
            raise CommandError(f"{_flag(name)} must be 256 or more.")
    if options["budget_minutes"] is not None and options["budget_minutes"] <= 0:
        raise CommandError("--budget-minutes must be more than 0.")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _chosen(
    roots: Sequence[Path], options: dict[str, Any]
) -> list[tuple[Model, KvTypes]]:
    """Return what to test. Raises CommandError."""
    named = [name.strip() for name in (options["kv_type"] or "").split(",")]
    try:
        kv_types = [check_kv_type(name) for name in named if name]
        models = [Model.objects.resolve(name) for name in options["model"]]
    except (UnknownKvType, ModelNotFound) as error:
        raise CommandError(str(error)) from None
    chosen = []
    for model in models or models_under(roots):
        if not model.is_generative:
            raise CommandError(f"{model.name} cannot be tested: it generates no text.")
        try:
            types = kv_types_of(model, kv_types, with_quantized=options["kv_quant"])
        except ValueError as error:
            raise CommandError(f"{model.name}: {error}") from None
        chosen += [(model, each) for each in types]
    return chosen


def _run_tests(
    chosen: Sequence[tuple[Model, KvTypes]], options: dict[str, Any]
) -> list[tuple[ContextTest, int]]:
    """Run the tests here, one after the other. Raises CommandError.

    Returns them, each with the number of contexts that were measured now.
    """
    if not chosen:
        return []
    minutes = options["budget_minutes"]
    deadline = time.monotonic() + 60 * minutes if minutes else None
    asked = {"max_ctx": options["max_ctx"], "budget_minutes": minutes}
    if options["min_ctx"]:
        asked["min_ctx"] = options["min_ctx"]
    tests: list[tuple[ContextTest, int]] = []
    try:
        with (
            only_tests_here(),
            context_test_progress(is_shown=not options["json"]) as show,
        ):
            around = surroundings_now()
            journal.interrupted_tests_settle(around.host)
            for number, (model, (k, v)) in enumerate(chosen, start=1):
                test = journal.context_test_start(
                    model=model,
                    cache_type_k=k,
                    cache_type_v=v,
                    host=around.host,
                    **asked,
                )
                conditions = Conditions(
                    resume=options["resume"],
                    deadline=deadline,
                    on_progress=partial(show, test, number, len(chosen)),
                )
                tests.append((test, run_context_test(test, around, conditions)))
    except OtherTestsRun as error:
        raise CommandError(str(error)) from None
    except Interrupted:
        raise CommandError(
            "Interrupted. --resume goes on after the last finished measurement.",
            returncode=_INTERRUPTED,
        ) from None
    return tests


def _check_roots(roots: Sequence[Path], *, are_given: bool) -> None:
    missing = [root for root in roots if not _exists(root)]
    if missing and are_given:
        raise CommandError(f"{missing[0]} does not exist.")
    if len(missing) == len(roots):
        raise CommandError(
            f"The models directory {missing[0]} does not exist. Create it, or set "
            "models.dir in llm_manager.yaml."
        )


def _exists(root: Path) -> bool:
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # The report has the reason.
    return True
