"""The Helm chart: rendered by helm itself, checked against Kubernetes' schemas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from llm_manager import __version__
from llm_manager.config.schema import KEYS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/llm-manager"
NEEDED = ("host=llm.example.org", "secret=llm-manager")
FULL = (
    *NEEDED,
    "image.pullSecrets[0]=registry",
    "config.engine\\.max_models=4",
    "config.server\\.cors_origins[0]=https://a.example",
    "config.server\\.cors_origins[1]=https://b.example",
    "engine.gpus=2",
    "engine.runtimeClassName=nvidia",
    "engine.nodeSelector.gpu=h100",
    "engine.tolerations[0].key=gpu",
    "engine.tolerations[0].operator=Exists",
    "engine.autoscaling.enabled=true",
    "engine.autoscaling.prometheus=http://prometheus:9090",
    "engine.autoscaling.queueSeconds=1.5",
    "models.storageClass=shared",
    "data.existingClaim=mine",
    "monitoring.enabled=true",
    "monitoring.keySecret=key",
    "monitoring.labels.release=prometheus",
)
BARE = (
    *NEEDED,
    "redis.enabled=false",
    "ingress.enabled=false",
    "web.autoscaling.enabled=false",
)
#: Engines with volumes of their own, which fetch models from each other.
APART = (
    *NEEDED,
    "models.perEngine=true",
    "models.size=100Gi",
    "models.storageClass=local",
    "nodes.pullModels=both",
    "nodes.listenPort=8791",
    "nodes.pullMbPerSecond=200",
)
CASES = {"default": NEEDED, "full": FULL, "bare": BARE, "apart": APART}
#: Kinds of others, whose schemas are not Kubernetes' own.
FOREIGN = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
#: The oldest version that the chart names, and the newest whose schemas are here.
VERSIONS = ("1.27", "1.37")


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("helm")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, check=False
    )


def rendered(values: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    given = [word for value in values for word in ("--set", value)]
    return helm("template", "llm", str(CHART), *given)


@cache
def objects(case: str) -> list[dict[str, Any]]:
    done = rendered(CASES[case])
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def named(case: str, kind: str, part: str) -> dict[str, Any]:
    (found,) = (
        each
        for each in objects(case)
        if each["kind"] == kind and each["metadata"]["name"] == f"llm-{part}"
    )
    return found


def pods(case: str) -> dict[str, dict[str, Any]]:
    """Return the pods of a chart, by the name of what makes them."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects(case)
        if "template" in each.get("spec", {})
    }


def variables(pod: dict[str, Any]) -> dict[str, str]:
    (container,) = pod["containers"]
    return {each["name"]: each.get("value", "") for each in container.get("env", ())}


def test_helm_finds_nothing_to_say() -> None:
    given = [word for value in NEEDED for word in ("--set", value)]
    done = helm("lint", "--strict", str(CHART), *given)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_each_object(case: str, version: str) -> None:
    own = [each for each in objects(case) if each["kind"] not in FOREIGN]
    assert own
    for each in own:
        kubernetes_validate.validate(each, version, strict=True)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == __version__


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (("secret=s",), "host"),
        (("host=llm.example.org",), "secret"),
        ((*NEEDED, "web.replica=3"), "replica"),
        ((*NEEDED, "engine.autoscaling.enabled=true"), "prometheus"),
        ((*NEEDED, "monitoring.enabled=true"), "keySecret"),
        ((*NEEDED, "config.Engine=3"), "Engine"),
        ((*NEEDED, "config.nodes\\.listen=10.0.0.1:8791"), "config"),
        ((*NEEDED, "nodes.pullModels=yes"), "pullModels"),
        ((*APART, "models.existingClaim=mine"), "existingClaim"),
    ],
)
def test_what_is_missing_or_unknown_is_refused_by_name(
    values: tuple[str, ...], word: str
) -> None:
    done = rendered(values)
    assert done.returncode != 0
    assert word in done.stderr


@pytest.mark.parametrize("case", CASES)
def test_no_pod_has_more_rights_than_it_needs(case: str) -> None:
    for name, pod in pods(case).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        (container,) = pod["containers"]
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True, name
        assert rights["allowPrivilegeEscalation"] is False, name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("case", CASES)
def test_pods_set_keys_of_the_configuration_and_no_others(case: str) -> None:
    known = {f"LLM_MANAGER_{key.upper().replace('.', '_')}" for key in KEYS}
    for name, pod in pods(case).items():
        ours = {each for each in variables(pod) if each.startswith("LLM_MANAGER_")}
        assert ours <= known | {"LLM_MANAGER_SECRET_KEY"}, name
        # Kubernetes' own variables of Services would be unknown keys.
        assert not ours or pod["enableServiceLinks"] is False, name


def test_the_configuration_of_values_reaches_every_process() -> None:
    for part in ("web", "engine", "migrate"):
        given = variables(pods("full")[f"llm-{part}"])
        assert given["LLM_MANAGER_ENGINE_MAX_MODELS"] == "4"
        origins = given["LLM_MANAGER_SERVER_CORS_ORIGINS"]
        assert origins == "https://a.example,https://b.example"


@pytest.mark.parametrize("part", ["web", "engine", "migrate"])
def test_pods_run_the_commands_of_the_compose_file(part: str) -> None:
    compose = (ROOT / "deploy/container/compose.yaml").read_text("utf-8")
    wanted = yaml.safe_load(compose)["services"][part]["command"]
    assert pods("default")[f"llm-{part}"]["containers"][0]["args"] == wanted


@pytest.mark.parametrize("case", CASES)
def test_each_selector_finds_pods(case: str) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in objects(case)
        if "template" in each.get("spec", {})
    ]
    for each in objects(case):
        selector = each.get("spec", {}).get("selector") or {}
        wanted = selector.get("matchLabels", selector)
        if each["kind"] != "ServiceMonitor" and wanted:
            assert any(wanted.items() <= has.items() for has in labels), each


@pytest.mark.parametrize("case", CASES)
def test_each_mounted_volume_is_there(case: str) -> None:
    claims = {
        each["metadata"]["name"]
        for each in objects(case)
        if each["kind"] == "PersistentVolumeClaim"
    } | {"mine"}
    for name, pod in pods(case).items():
        volumes = {each["name"]: each for each in pod.get("volumes", ())}
        if name == "llm-engine":
            own = named(case, "StatefulSet", "engine")["spec"]
            for each in own.get("volumeClaimTemplates", ()):
                assert each["metadata"]["name"] not in volumes
                volumes[each["metadata"]["name"]] = {"emptyDir": {}}
        for mount in pod["containers"][0].get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim in claims if claim else "emptyDir" in volume


def test_engines_with_their_own_volumes_send_each_other_files() -> None:
    engine = named("apart", "StatefulSet", "engine")["spec"]
    (claim,) = engine["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "resources": {"requests": {"storage": "100Gi"}},
    }
    pod = pods("apart")["llm-engine"]
    given = variables(pod)
    assert given["LLM_MANAGER_NODES_PULL_MODELS"] == "both"
    assert given["LLM_MANAGER_NODES_PULL_MB_PER_S"] == "200"
    # Kubernetes puts the pod's address in, and only from what stands before it.
    names = [each["name"] for each in pod["containers"][0]["env"]]
    assert names.index("POD_IP") < names.index("LLM_MANAGER_NODES_LISTEN")
    assert given["LLM_MANAGER_NODES_LISTEN"] == "$(POD_IP):8791"
    (port,) = pod["containers"][0]["ports"]
    assert port["containerPort"] == 8791
    shared = [each["metadata"]["name"] for each in objects("apart")]
    assert "llm-models" not in shared


def test_no_pod_listens_for_nodes_unless_it_is_asked_to() -> None:
    for pod in pods("default").values():
        assert "LLM_MANAGER_NODES_LISTEN" not in variables(pod)
    assert "LLM_MANAGER_NODES_LISTEN" not in variables(pods("apart")["llm-web"])


def test_an_engine_of_a_gpu_asks_for_it_beside_its_memory() -> None:
    pod = pods("full")["llm-engine"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "16Gi", "nvidia.com/gpu": "2"}
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["nodeSelector"] == {"gpu": "h100"}


def test_pods_have_longer_to_end_than_answers_have() -> None:
    for part in ("web", "engine"):
        pod = pods("default")[f"llm-{part}"]
        drain = int(variables(pod)["LLM_MANAGER_ENGINE_DRAIN_TIMEOUT"])
        assert pod["terminationGracePeriodSeconds"] > drain


def test_what_scales_sets_no_number_of_its_own() -> None:
    assert "replicas" not in named("default", "Deployment", "web")["spec"]
    assert named("bare", "Deployment", "web")["spec"]["replicas"] == 2
    assert "replicas" not in named("full", "StatefulSet", "engine")["spec"]
    scaled = named("full", "ScaledObject", "engine")["spec"]
    assert scaled["scaleTargetRef"] == {"kind": "StatefulSet", "name": "llm-engine"}


def test_queries_ask_for_metrics_that_there_are() -> None:
    trigger = named("full", "ScaledObject", "engine")["spec"]["triggers"][0]
    query = trigger["metadata"]["query"]
    documented = (ROOT / "docs/metrics.md").read_text("utf-8")
    metrics = re.findall(r"\bllm_\w+", query)
    assert metrics
    for name in metrics:
        assert f"`{name.removesuffix('_bucket')}`" in documented
    assert trigger["metadata"]["threshold"] == "1.5"


def test_prometheus_takes_the_query_and_the_rules(tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing; Debian's package prometheus has it")
    trigger = named("full", "ScaledObject", "engine")["spec"]["triggers"][0]
    scaling = {"record": "scaling", "expr": trigger["metadata"]["query"]}
    rules = named("full", "PrometheusRule", "web")["spec"]
    original = (ROOT / "deploy/prometheus/llm-manager.rules.yml").read_text("utf-8")
    assert rules == yaml.safe_load(original)
    rules["groups"].append({"name": "scaling", "rules": [scaling]})
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [program, "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_the_dashboard() -> None:
    data = named("full", "ConfigMap", "dashboard")["data"]["llm-manager.json"]
    original = (ROOT / "deploy/grafana/llm-manager.json").read_text("utf-8")
    assert json.loads(data) == json.loads(original)


def test_the_steps_name_each_value_that_is_needed() -> None:
    text = (ROOT / "deploy/helm/README.md").read_text("utf-8")
    pod = named("bare", "Deployment", "web")["spec"]["template"]["spec"]
    secrets = {
        each["valueFrom"]["secretKeyRef"]["key"]
        for each in pod["containers"][0]["env"]
        if "valueFrom" in each
    }
    assert secrets == {"DATABASE_URL", "LLM_MANAGER_SECRET_KEY", "REDIS_URL"}
    for name in secrets - {"REDIS_URL"}:
        assert f"--from-literal={name}=" in text
    for value in NEEDED:
        assert f"--set {value.split('=')[0]}=" in text
