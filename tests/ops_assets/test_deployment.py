"""The deployment files are accepted by the programs that read them, with several sets of parameters."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from divan_obs_asgi.ops_assets.deployment import service
from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.parameters import Parameters
from tests.ops_assets.exports import CHOICES
from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program
from tests.servers.promtool import both, newest, promtools

JAVASCRIPT = Path(__file__).parent / "javascript"
SECRETS = {"OBS_ADMIN_TOKEN": "a" * 32, "POSTGRES_PASSWORD": "b", "GRAFANA_PASSWORD": "c"}


def run(*command: str | Path, env: dict[str, str] | None = None, given: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        input=given,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return done.returncode, done.stdout


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("promtool", promtools())
def test_prometheus_accepts_its_configuration(promtool: Callable[[], str], assets_folder: Path) -> None:
    """Without the token file only the syntax is checked; with it the rules are checked too."""
    path = assets_folder / "prometheus" / "prometheus.yml"
    code, said = run(promtool(), "check", "config", "--syntax-only", path)
    assert code == 0, said
    (assets_folder / "token").touch()
    whole = assets_folder / "prometheus" / "whole.yml"
    whole.write_text(path.read_text(encoding="utf-8").replace(service.TOKEN_FILE, str(assets_folder / "token")))
    code, said = run(promtool(), "check", "config", whole)
    assert code == 0, said
    assert "1 rule files found" in said
    assert re.search(r"SUCCESS: \d\d rules found", said)


@pytest.mark.parametrize("amtool", both("amtool", package="prometheus-alertmanager"))
def test_alertmanager_accepts_its_configuration(amtool: Callable[[], str], assets_folder: Path) -> None:
    """A page goes to the receiver for pages; everything else is a ticket."""
    path = assets_folder / "alertmanager" / "alertmanager.yml"
    code, said = run(amtool(), "check-config", path)
    assert code == 0, said
    assert " - 1 inhibit rules\n - 2 receivers\n" in said
    for severity, receiver in (("page", "page"), ("ticket", "ticket"), ("unheard-of", "ticket")):
        code, said = run(amtool(), "config", "routes", "test", f"--config.file={path}", f"severity={severity}")
        assert (code, said.splitlines()[-1]) == (0, receiver)


def test_docker_compose_accepts_the_compose_file(assets_folder: Path) -> None:
    """All dependencies between services exist; secrets have to be set."""
    compose = newest("usr/libexec/docker/cli-plugins/docker-compose")
    command = (compose, "-f", assets_folder / "compose.yml", "config")
    code, said = run(*command, "-q", env=SECRETS)
    assert (code, said) == (0, "")
    code, said = run(*command, "--format=json", env={**SECRETS, "BACKEND_IMAGE": "ours:1"})
    services = json.loads(said)["services"]
    assert services["backend"]["image"] == "ours:1"
    assert {part["host_ip"] for found in services.values() for part in found.get("ports", [])} == {"127.0.0.1"}
    for name in SECRETS:
        code, said = run(*command, "-q", env={**SECRETS, name: ""})
        assert code != 0
        assert name in said


def test_compose_images_are_pinned_and_have_health_checks() -> None:
    """Each image has a version tag, and a health check if it has a shell. Each mounted file is exported."""
    services = yaml.safe_load(exported(Parameters())["compose.yml"])["services"]
    images = {name: found["image"] for name, found in services.items() if name != "backend"}
    assert [image for image in images.values() if not re.search(r":v?\d+\.\d+(\.\d+)?(-alpine)?$", image)] == []
    assert {name for name, found in services.items() if "healthcheck" not in found} == {"otel-collector"}
    assert set(services) == {"backend", "redis", "postgres", "otel-collector", "prometheus", "alertmanager", "grafana"}
    mounts = [volume for found in services.values() for volume in found.get("volumes", []) if volume.startswith("./")]
    paths = exported(Parameters())
    for mount in mounts:
        source = mount.split(":")[0].removeprefix("./")
        # Docker makes an empty folder where there are no dashboards.
        assert source == "grafana/dashboards" or any(f"{path}/".startswith(f"{source}/") for path in paths), mount


def operator_says(*objects: Any) -> list[str]:
    node = program("node", package="nodejs")
    command = (node, JAVASCRIPT / "operator.mjs")
    code, said = run(*command, env={"NODE_PATH": str(installed(JAVASCRIPT))}, given=json.dumps(objects))
    assert code == 0, said
    found: list[str] = json.loads(said)
    return found


@pytest.mark.slow
def test_the_operator_accepts_its_objects(assets_folder: Path) -> None:
    """They fit the schema of the operator, which rejects an incomplete object."""
    names = ("servicemonitor", "prometheusrule")
    objects = [read(assets_folder / "kubernetes" / f"{name}.yml") for name in names]
    broken = json.loads(json.dumps(objects))
    del broken[0]["spec"]["selector"]
    del broken[1]["spec"]["groups"][0]["name"]
    right, right_too, *wrong = operator_says(*objects, *broken)
    assert (right, right_too) == ("", "")
    assert ["selector" in wrong[0], "name" in wrong[1]] == [True, True]


@pytest.mark.parametrize("promtool", promtools())
def test_prometheus_accepts_the_rules_of_the_operator(promtool: Callable[[], str], assets_folder: Path) -> None:
    """The PrometheusRule has the same rules, and they can be loaded as a rule file."""
    rules = read(assets_folder / "kubernetes" / "prometheusrule.yml")["spec"]
    assert rules == read(assets_folder / "prometheus" / "rules-phase8.yml")
    (assets_folder / "operator.yml").write_text(json.dumps(rules))
    code, said = run(promtool(), "check", "rules", assets_folder / "operator.yml")
    assert code == 0, said


def test_the_selectors_match(assets_folder: Path) -> None:
    """The Service, the budget and the Deployment select the same pods; the ServiceMonitor selects that Service."""
    deployment, budget, balancer, monitor = (
        read(assets_folder / "kubernetes" / f"{name}.yml")
        for name in ("deployment", "poddisruptionbudget", "service", "servicemonitor")
    )
    pods = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= pods
    assert balancer["spec"]["selector"].items() <= pods
    assert budget["spec"]["selector"]["matchLabels"].items() <= pods
    assert monitor["spec"]["selector"]["matchLabels"].items() <= balancer["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == balancer["spec"]["ports"][0]["name"]
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", balancer["metadata"]["name"])


def test_the_rules_use_the_scraped_job(assets_folder: Path) -> None:
    """Prometheus sets the job name; the operator sets it by relabeling, in which $$ is a $."""
    rules = read(assets_folder / "prometheus" / "rules-phase8.yml")
    [scrape] = read(assets_folder / "prometheus" / "prometheus.yml")["scrape_configs"]
    [relabeling] = read(assets_folder / "kubernetes" / "servicemonitor.yml")["spec"]["endpoints"][0]["relabelings"]
    assert relabeling["replacement"].replace("$$", "$") == scrape["job_name"]
    assert f"job={json.dumps(scrape['job_name'], ensure_ascii=False)}" in rules["groups"][0]["rules"][0]["expr"]


def test_the_drain_fits_the_times_of_kubernetes() -> None:
    """It is longer than the readiness probe, and with 30 s for requests it ends before the pod is killed."""
    pod = yaml.safe_load(exported(Parameters())["kubernetes/deployment.yml"])["spec"]["template"]["spec"]
    [container] = pod["containers"]
    flags = {entry["name"]: entry.get("value") for entry in container["env"]}
    ready = container["readinessProbe"]
    delay = float(flags["OBS_DRAIN_DELAY_S"])
    assert delay > ready["periodSeconds"] * ready["failureThreshold"] + 1
    assert pod["terminationGracePeriodSeconds"] >= delay + 30


# Of the READMEs of the receiver, the processors, the exporter and the extension, all of the distribution `otelcol`.
COLLECTOR = {
    "receivers.otlp": {"protocols"},
    "receivers.otlp.protocols": {"grpc", "http"},
    "receivers.otlp.protocols.grpc": {"endpoint", "tls", "max_recv_msg_size_mib", "keepalive"},
    "receivers.otlp.protocols.http": {"endpoint", "tls", "cors", "traces_url_path"},
    "processors.memory_limiter": {
        "check_interval",
        "limit_mib",
        "spike_limit_mib",
        "limit_percentage",
        "spike_limit_percentage",
    },
    "processors.batch": {"send_batch_size", "timeout", "send_batch_max_size"},
    "exporters.debug": {"verbosity", "sampling_initial", "sampling_thereafter", "use_internal_logger"},
    "extensions.health_check": {"endpoint", "path", "response_body", "tls"},
    "service": {"extensions", "pipelines", "telemetry"},
    "service.pipelines": {"traces", "metrics", "logs"},
    "service.pipelines.traces": {"receivers", "processors", "exporters"},
    "": {"receivers", "processors", "exporters", "extensions", "connectors", "service"},
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "batch"},
    "exporters": {"debug"},
    "extensions": {"health_check"},
}


def sections(content: Any, path: str = "") -> Iterator[tuple[str, set[str]]]:
    if isinstance(content, dict):
        yield path, set(content)
        for name, inner in content.items():
            yield from sections(inner, f"{path}.{name}".strip("."))


def test_the_collector_knows_each_name(assets_folder: Path) -> None:
    """Without a real collector: the names are documented, each part is used, and the limiter is first."""
    path = assets_folder / "collector" / "otel-collector.yml"
    content = read(path)
    assert [(place, names - COLLECTOR[place]) for place, names in sections(content) if names - COLLECTOR[place]] == []
    [pipeline] = content["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert pipeline[kind] == list(content[kind])
    assert content["service"]["extensions"] == list(content["extensions"])
    assert pipeline["processors"][0] == "memory_limiter"
    assert path.read_text().startswith("# Not run by the tests of divan-obs-asgi: no OpenTelemetry Collector")


@pytest.mark.parametrize(
    "name",
    ["compose.yml", "kubernetes/deployment.yml", "kubernetes/servicemonitor.yml", "collector/otel-collector.yml"]
    + [f"grafana/provisioning/{kind}/{kind}.yml" for kind in ("dashboards", "datasources")],
)
def test_an_untested_file_says_so(name: str) -> None:
    """Its first line says that the tests do not run it."""
    assert exported(Parameters())[name].startswith("# Not run by the tests of divan-obs-asgi: ")


def test_grafana_opens_a_trace_from_an_exemplar() -> None:
    """The variable for the trace id survives the expansion of variables. Without a URL there is no link."""
    name = "grafana/provisioning/datasources/datasources.yml"
    content = yaml.safe_load(exported(CHOICES["acme"])[name])
    [link] = content["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]
    assert link["url"].replace("$$", "$") == "https://traces.example/${__value.raw}"
    assert "exemplarTraceIdDestinations" not in exported(Parameters())[name]
