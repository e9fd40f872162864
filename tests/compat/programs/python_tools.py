"""Images by the tools of Python's projects."""

from importlib.metadata import distributions
from pathlib import Path

import modal

HERE = Path(__file__).parent / "python_tools"
app = modal.App("python-tools")
slim = modal.Image.debian_slim("3.11")

synced = slim.uv_sync(
    str(HERE), groups=["wide"], extras=["six"], frozen=False, extra_options="--no-dev", uv_version="0.8.4"
).pip_install("idna")
listed = slim.pip_install_from_pyproject(str(HERE / "pyproject.toml"), optional_dependencies=["six"])
chosen = slim.uv_pip_install("six==1.16.0", uv_version="0.8.4")


def packages() -> dict[str, str]:
    return {one.name: one.version for one in distributions()}


@app.function(image=synced)
def of_uv_sync() -> tuple[str, dict[str, str]]:
    import sys

    return sys.prefix, packages()


@app.function(image=listed)
def of_pyproject() -> dict[str, str]:
    return packages()


@app.function(image=chosen)
def of_uv_pip_install() -> dict[str, str]:
    return packages()


@app.local_entrypoint()
def main():
    prefix, found = of_uv_sync.remote()
    assert prefix == "/.uv/.venv", prefix
    assert {"tabulate", "six", "wcwidth", "idna"} <= set(found), found
    assert not {"iniconfig", "tools"} & set(found), found
    assert found["six"] == "1.16.0"
    found = of_pyproject.remote()
    assert found["six"] == "1.16.0"
    assert found["tabulate"].startswith("0.9")
    assert of_uv_pip_install.remote()["six"] == "1.16.0"
    print("all as expected")
