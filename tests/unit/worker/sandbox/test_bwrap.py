from __future__ import annotations

from pathlib import Path

from ionian.worker.sandbox.bwrap import INIT_HERE, Command, describe, find_bwrap
from ionian.worker.sandbox.spec import Bind, SandboxSpec


def command(tmp_path: Path, **more: object) -> Command:
    layers = more.pop("layers", [tmp_path])
    made = Command(SandboxSpec(layers, tmp_path / "scratch", ["true"], **more))  # type: ignore[arg-type]
    describe(made)
    return made


def pairs(options: list[str], word: str) -> list[list[str]]:
    return [options[i + 1 : i + 3] for i, option in enumerate(options) if option == word]


def test_a_bubblewrap_with_overlays_is_found():
    assert find_bwrap().path.is_file()
    assert INIT_HERE.is_file()


def test_layers_are_stacked_in_their_order_under_the_scratch_folder(tmp_path: Path):
    made = command(tmp_path, layers=[Path("/a"), Path("/b")])
    at = [options[0] for options in pairs(made.options, "--overlay-src")]
    assert [made.sources[int(name.rpartition("/")[2])][0] for name in at] == ["/a", "/b"]


def test_the_host_names_follow_an_images_links_inside_the_image(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").symlink_to("/run/names/hosts")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/names").symlink_to("elsewhere")
    made = command(tmp_path, network=True)
    targets = [target for _, target in pairs(made.options, "--ro-bind")]
    assert "/run/names/hosts" in targets
    assert "/etc/hosts" not in targets


def test_an_upper_layer_decides_what_a_link_is(tmp_path: Path):
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "etc").mkdir(parents=True)
    (lower / "etc/hosts").symlink_to("/run/hosts")
    (upper / "etc").mkdir(parents=True)
    (upper / "etc/hosts").write_text("")
    made = command(tmp_path, layers=[lower, upper])
    assert "/etc/hosts" in [target for _, target in pairs(made.options, "--ro-bind")]


def test_without_network_nothing_of_the_hosts_names_is_shown(tmp_path: Path):
    made = command(tmp_path, network=False)
    assert "--unshare-net" in made.options
    assert "/etc/resolv.conf" not in made.options


def test_the_parents_of_a_bind_are_made_before_it(tmp_path: Path):
    options = command(tmp_path, binds=[Bind(tmp_path, "/a/b/c", read_only=False)]).options
    at = options.index("/a/b/c") - 2
    assert options[at - 4 : at + 1] == ["--dir", "/a", "--dir", "/a/b", "--bind"]


def test_descriptors_without_a_number_get_one_that_nobody_asked_for(tmp_path: Path):
    made = Command(SandboxSpec([], tmp_path, ["true"], pass_fds={3: 10, 5: 11}))
    assert [made.give(0), made.give(0), made.give(0)] == [4, 6, 7]


def test_values_of_the_environment_may_hold_anything_but_zero_bytes(tmp_path: Path):
    packed = command(tmp_path, env={"A": "--bind\n'\"$x é"}).packed_options()
    assert "--setenv\0A\0--bind\n'\"$x é\0".encode() in packed
