"""What docs/scale.md and examples/scale tell people to run can be run."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
import typer
import yaml
from bench.scale_arithmetic import Assumptions, make_plan, tables

from stemlight.cli import app

from ..conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples" / "scale"
PAGE = (REPOSITORY / "docs" / "scale.md").read_text(encoding="utf-8")


def parse(words: list[str]) -> dict:
    """Read a command as the program would, and return its options."""
    assert words[0] == "stemlight"
    commands = typer.main.get_command(app).commands
    return commands[words[1]].make_context(words[1], words[2:]).params


def read_yaml(name: str) -> dict:
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


def stub(folder, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_the_slurm_script_starts_ray_on_all_nodes_and_the_run_on_the_first(tmp_path):
    stub(tmp_path, "scontrol", "for i in 3 4 5; do echo node$i; sleep 0.1; done")
    for name in ("ray", "srun", "stemlight"):
        record = f'printf "%s\\n" "$@" > {tmp_path}/{name}.words'
        if name == "stemlight":  # which lasts longer than it takes to start the other nodes
            record += f"; until [ -s {tmp_path}/srun.words ]; do sleep 0.01; done"
        stub(tmp_path, name, record)
    environment = {
        "HOME": str(tmp_path),  # with a token in it
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_JOB_NODELIST": "node[3-5]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "8",
    }
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("token")
    command = ["bash", str(EXAMPLES / "slurm.sh"), "my songs", "s3://stems", "--attempts", "5"]
    subprocess.run(command, env=environment, check=True)

    def words(name: str) -> list[str]:
        return (tmp_path / f"{name}.words").read_text().splitlines()

    assert words("ray") == shlex.split("start --head --port 6379 --num-cpus 8")
    assert "--exclude=node3" in words("srun")
    assert "--ntasks=2" in words("srun")
    assert words("srun")[-2:] == ["node3:6379", "8"]
    options = parse(["stemlight", *words("stemlight")])
    assert (options["tracks"], options["output"]) == ("my songs", "s3://stems")
    assert (options["engine"], options["address"]) == ("ray", "node3:6379")
    assert (options["workers"], options["attempts"]) == (24, 5)


def test_every_script_is_one(tmp_path):
    for path in EXAMPLES.glob("*.sh"):
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_the_cluster_on_kubernetes_has_room_for_all_workers():
    spec = read_yaml("kuberay.yaml")["spec"]
    options = parse(shlex.split(spec["entrypoint"]))
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    cores = int(container["resources"]["limits"]["cpu"])
    assert options["engine"] == "ray"
    assert options["max_workers"] == group["maxReplicas"] * cores
    assert options["workers"] == group["minReplicas"] * cores


def test_the_studios_configuration_is_one_of_ray_serve_and_of_our_application():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'stemlight[serve-ray]'")
    from stemlight.serve.ray_serve import APP_NAME, ReplicaOptions

    config = read_yaml("studio.yaml")
    (application,) = config["applications"]
    assert application["name"] == APP_NAME
    assert application["import_path"] == "stemlight.serve.ray_serve:build_app"
    assert ReplicaOptions(**application["args"]).max_replicas == 32


def test_the_container_installs_extras_that_exist_and_copies_files_that_exist():
    text = (EXAMPLES / "Containerfile").read_text(encoding="utf-8")
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r"extras=([\w,-]+)", text)
    assert len(named) == 2
    for extra in {name for names in named for name in names.split(",")}:
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    assert all((REPOSITORY / name).exists() for names in copied for name in names)
    (shell,) = re.findall(r"^RUN (case.*?esac)", text, re.DOTALL | re.MULTILINE)
    ran = subprocess.run(["sh", "-c", shell], env={"FLAVOUR": "tpu"}, capture_output=True)
    assert ran.returncode == 1


def commands_of_the_page() -> list[list[str]]:
    blocks = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    shell = "\n".join(block for block in blocks if not block.startswith("$ "))  # with its output
    lines = [line.partition("#")[0].strip() for line in shell.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if line]


def test_every_command_of_the_page_is_understood():
    ours = [words for words in commands_of_the_page() if words[0] == "stemlight"]
    assert {words[1] for words in ours} >= {"batch", "serve"}
    for words in ours:
        parse(words)


def test_every_file_of_the_page_exists():
    named = re.findall(r"\]\(([\w./-]+)\)", PAGE)
    named += [f"../{path}" for path in re.findall(r"`((?:examples|tests|bench)/[\w./-]+)`", PAGE)]
    assert len(named) > 5
    for path in named:
        assert (REPOSITORY / "docs" / path).exists(), path


def test_the_arithmetic_of_the_page_is_that_of_its_command():
    assert "\n".join(tables(Assumptions())) in PAGE, "run: python -m bench.scale_arithmetic"


def test_a_million_tracks_of_four_minutes_cost_what_multiplication_says():
    given = Assumptions(
        track_seconds=240.0,
        compute_factor=0.1,
        utilisation=0.5,
        cores_per_machine=100,
        hours=10.0,
        read_byte_rate=1e5,
        flac_byte_rate=2e5,
        opus_kbps=64.0,
        n_reads=10,
        n_writes=5,
        core_hour_price=0.03,
        gigabyte_month_price=0.02,
        million_reads_price=1.0,
        million_writes_price=6.0,
    )
    plan = make_plan(1_000_000, given)
    assert plan.hours_of_audio == pytest.approx(66_666.67)
    assert plan.core_hours == pytest.approx(13_333.33)
    assert plan.n_machines == 14
    assert plan.computing_price == pytest.approx(400.0)
    assert plan.request_price == pytest.approx(40.0)
    assert plan.stored_bytes == pytest.approx({"FLAC": 48e12, "Opus": 7.68e12})
    assert plan.month_price == pytest.approx({"FLAC": 960.0, "Opus": 153.6})
    assert plan.bytes_per_second == pytest.approx({"FLAC": 2e9, "Opus": 31.68e12 / 36_000})
