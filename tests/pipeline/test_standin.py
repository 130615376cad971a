"""The stand-in model's training: what it is taught with, that it learns, that it can be interrupted."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from raypipe.backbones.psp import load_encoder
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, load_generator
from raypipe.config import as_dict
from raypipe.pipeline import train_standin
from raypipe.pipeline.standin.config import StandinConfig
from raypipe.pipeline.standin.export import centre_codes, export
from raypipe.pipeline.standin.losses import reconstruction_loss, weigh
from raypipe.pipeline.standin.mapping import fit_mapping
from raypipe.pipeline.standin.pictures import clouds, training_pictures
from raypipe.pipeline.standin.principal import HELD_BACK_STEPS, fit_principal_codes
from raypipe.pipeline.standin.training import Training, lower_part, parameter_groups
from raypipe.weights import open_bundle

TINY = StandinConfig(
    style_dim=8,
    channels=(16, 16, 16, 8, 8),
    encoder_widths=(8, 8, 16, 16),
    encoder_depths=(1, 1, 1, 1),
    batch=4,
    steps=40,
    growth_steps=(3, 6),
    warmup_steps=2,
    principal_batches=8,
    taught_steps=6,
    average_decay=0.5,
    mapping_codes=64,
    mapping_steps=5,
    held_out_faces=32,
)
TINY_ARGUMENTS = [f"{name}={json.dumps(getattr(TINY, name))}" for name in as_dict(TINY) if name != "steps"]


def test_a_batch_belongs_to_its_seed_and_step() -> None:
    batch = training_pictures(4, 64, seed=1, step=5)
    assert batch.shape == (4, 3, 64, 64)
    assert batch.abs().max() <= 1
    assert torch.equal(batch, training_pictures(4, 64, seed=1, step=5))
    for other in (training_pictures(4, 64, seed=1, step=6), training_pictures(4, 64, seed=2, step=5)):
        assert all((batch[i] - other[i]).abs().mean() > 0.02 for i in range(4))


def test_the_second_half_is_the_first_half_disturbed() -> None:
    batch = training_pictures(16, 64, seed=1, step=0)
    assert ((batch[8:] - batch[:8]).abs().mean((1, 2, 3)) > 0.02).all()
    assert batch.isfinite().all()


def test_clouds_have_less_of_the_high_frequencies() -> None:
    spectrum = torch.fft.rfft2(clouds(32, 64, torch.Generator().manual_seed(0))).abs().square().mean((0, 1))
    assert spectrum[2:5, 2:5].mean() > 10 * spectrum[20:30, 20:30].mean()


def test_the_lower_part_makes_the_picture_that_the_next_block_adds_to() -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(size=32, style_dim=8, z_dim=8, channels=(8, 8, 8, 8), mapping_layers=1)
    generator = Generator(config)
    codes = torch.randn(2, 8, 8)
    _, trace = generator.synthesis.render_with_trace(generator.synthesis.styles(codes), "none")
    torch.testing.assert_close(lower_part(generator, 16)(codes[:, :6], "none"), trace.rgb[2])


def test_the_loss_is_zero_only_for_equal_pictures() -> None:
    pictures = torch.rand(2, 3, 16, 16)
    assert reconstruction_loss(pictures, pictures) == 0
    assert reconstruction_loss(pictures + 0.5, pictures) > 1.0


def test_the_middle_weighs_most_and_the_mean_weight_is_one() -> None:
    weights = weigh(torch.ones(1, 1, 64, 64))[0, 0]
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    assert divmod(int(weights.argmax()), 64) in {(34, 31), (34, 32), (35, 31), (35, 32)}
    assert weights.max() > 3 * weights[0].max()


def test_a_few_steps_reduce_the_loss() -> None:
    training = Training(dataclasses.replace(TINY, growth_steps=()))
    images = TINY.pictures(0)
    first = training.step(images)["pixels"]
    for _ in range(10):
        training.step(images)
    assert training.step(images)["pixels"] < 0.9 * first


def test_an_interrupted_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    """Stopped before and after the pictures grow."""
    unbroken, interrupted = Training(TINY), Training(TINY)
    for step in range(8):
        unbroken.step(TINY.pictures(step))
        interrupted.step(TINY.pictures(step))
        if step in (2, 4):
            torch.save(interrupted.state_dict(), tmp_path / "state.pt")
            interrupted = Training(TINY)
            interrupted.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for network in ("model", "average"):
        wanted, found = getattr(unbroken, network).state_dict(), getattr(interrupted, network).state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_learning_rates_rise_and_fall_to_zero_and_the_lesson_fades() -> None:
    config = StandinConfig(steps=1000, warmup_steps=10, taught_steps=400)
    assert [config.pace(step) for step in (0, 500, 1000)] == pytest.approx([0.1, 0.5, 0.0], abs=1e-3)
    assert [config.teaching(step) for step in (0, 100, 400, 1000)] == [1.0, 0.75, 0.0, 0.0]


def test_principal_codes_of_the_fitted_pictures_give_them_back() -> None:
    """All components together are the pictures at 32 px; the first group alone is the best of its rank."""
    config = dataclasses.replace(TINY, style_dim=8)
    codes = fit_principal_codes(config)
    images = config.pictures(HELD_BACK_STEPS)
    w_plus = codes.of(images, 10)
    base = w_plus[:, 0]
    groups = [base, *(w_plus[:, row] - base for row in (1, 2, 3))]
    back = (torch.cat(groups, dim=1) * codes.scales) @ codes.axes + codes.mean
    torch.testing.assert_close(back, weigh(F.adaptive_avg_pool2d(images, 32)).flatten(1), rtol=0, atol=2e-3)
    torch.testing.assert_close(w_plus[:, 4:], base[:, None].expand(-1, 6, -1))


def test_each_trained_parameter_is_in_one_group() -> None:
    model = Training(TINY).model
    groups = [{id(parameter) for parameter in group} for group in parameter_groups(model)]
    assert not groups[0] & groups[1]
    mapping = {id(parameter) for parameter in model.generator.mapping.parameters()}
    assert groups[0] | groups[1] == {id(parameter) for parameter in model.parameters()} - mapping


def test_the_mapping_network_takes_on_the_distribution_of_codes() -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(
        size=8, style_dim=8, z_dim=16, channels=(4, 4), mapping_layers=2, mapping_width=64, mapping_lr_multiplier=1.0
    )
    generator = Generator(config)
    codes = torch.randn(2000, 8) @ torch.diag(torch.linspace(0.5, 1.5, 8)) + torch.linspace(-0.3, 0.3, 8)
    fit_mapping(generator, codes, steps=150, seed=0)
    with torch.no_grad():
        made = generator.mapping(torch.randn(4000, 16))
    assert ((made.mean(0) - codes.mean(0)).abs() < 0.2 * codes.std(0)).all()
    torch.testing.assert_close(made.std(0), codes.std(0), rtol=0.3, atol=0)
    torch.testing.assert_close(generator.w_avg, made.mean(0), rtol=0, atol=0.2)


def test_centring_moves_the_mean_into_latent_avg_and_changes_no_code() -> None:
    encoder = Training(TINY).model.eval().encoder
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before, mean = encoder(images), torch.randn(8)
        centre_codes(encoder, mean)
        torch.testing.assert_close(encoder(images), before)
    assert torch.equal(encoder.latent_avg, mean.expand(10, 8))


def test_the_exported_networks_are_the_averaged_ones(tmp_path: Path) -> None:
    training = Training(TINY)
    training.step(TINY.pictures(0))
    bundle = export(training, str(tmp_path), {"minutes": 0.1, "losses": []})
    stored = load_generator(bundle.read("generator"), "cpu").synthesis.state_dict()
    for name, tensor in training.average.generator.synthesis.state_dict().items():
        torch.testing.assert_close(stored[name], tensor, rtol=1e-3, atol=1e-3)
    assert load_encoder(bundle.read("encoder"), "cpu").code_shape == (10, 8)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["steps_done"] == 1
    assert record["pictures_seen"] == 4
    assert str(record["held_out_faces"]["psnr_db"]) in (tmp_path / "README.md").read_text()


def test_the_command_goes_on_from_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--out", str(tmp_path / "model"), "--minutes", "5"]
    for steps in (2, 3):
        overrides = [argument for item in [*TINY_ARGUMENTS, f"steps={steps}"] for argument in ("--set", item)]
        train_standin.main([*common, *overrides])
    assert "step 2 of 2" in capsys.readouterr().out
    record = json.loads((tmp_path / "model" / "run.json").read_text())
    assert [losses["step"] for losses in record["losses"]] == [2, 3]
    assert set(open_bundle(str(tmp_path / "model")).parts) == {"generator", "encoder"}
