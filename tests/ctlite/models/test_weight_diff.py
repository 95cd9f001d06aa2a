"""Differences of weights are told side by side, and in few lines."""

from ctlite.models.weight_diff import LINES_SHOWN, weight_diff

OWN = {
    "temperature": (),
    "to_visual_latent.weight": (512, 2097152),
    **{f"visual_transformer.enc.layers.{n}.1.to_q.weight": (256, 512) for n in range(4)},
}


def test_what_is_equal_is_not_told() -> None:
    """No line for nothing."""
    assert weight_diff(OWN, dict(OWN)) == ""


def test_shapes_stand_side_by_side_under_their_part() -> None:
    """Missing, unknown and ill-shaped; layers that differ alike share a line."""
    given = {"to_visual_latent.weight": (512, 294912), "surprise": (3,)}
    lines = weight_diff(given, OWN).splitlines()

    assert [line.split() for line in lines] == [
        ["checkpoint", "model"],
        ["outside", "of", "all", "parts"],
        ["surprise", "(3,)", "none"],
        ["temperature", "none", "()"],
        ["to_visual_latent"],
        ["weight", "(512,", "294912)", "(512,", "2097152)"],
        ["visual_transformer.enc"],
        ["layers.*.1.to_q.weight", "(4", "layers)", "none", "(256,", "512)"],
    ]


def test_one_layer_keeps_its_number() -> None:
    """So that it can be found."""
    given = {name: shape for name, shape in OWN.items() if "layers.2" not in name}

    assert "layers.2.1.to_q.weight" in weight_diff(given, OWN)


def test_many_differences_end_in_a_count() -> None:
    """At most twenty lines, whatever the file holds, and no control character in them."""
    lines = weight_diff({f"\x1b[31m{n}.weight": (n,) for n in range(500)}, OWN).splitlines()

    assert len(lines) == LINES_SHOWN == 20
    assert lines[-1].strip().startswith("... and ")
    assert "\x1b" not in "".join(lines)
