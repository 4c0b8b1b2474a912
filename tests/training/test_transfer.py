import pytest
import torch

from kaggle_dsb.config import NetworkSettings, Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import NucleusNet, load_network, save_network
from kaggle_dsb.training.transfer import copy_weights

SMALL = NetworkSettings(decoder_channels=(16, 8, 8, 8, 8))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    network = NucleusNet(SMALL, pretrained=True)
    with torch.no_grad():
        for _ in range(2):  # so that the running means are not those of a new network
            network(torch.rand(2, 3, 64, 64) * 255)
    path = tmp_path_factory.mktemp("run") / "fold0.safetensors"
    save_network(path, network, Settings(network=SMALL))
    return path


def test_a_network_starts_with_every_weight_of_the_trained_one(path):
    torch.manual_seed(1)
    network = NucleusNet(SMALL, pretrained=False)
    copy_weights(path, network)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 255
    trained, _, _ = load_network(path)
    with torch.inference_mode():
        assert torch.equal(network.eval()(image), trained(image))


@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(decoder_channels=(24, 16, 8, 8, 8)),
        NetworkSettings(decoder_channels=(16, 8, 8, 8)),
        NetworkSettings(encoder_name="tu-tf_efficientnet_lite0", decoder_channels=(16, 8, 8, 8, 8)),
    ],
    ids=["wider", "shallower", "smaller-encoder"],
)
def test_a_network_with_another_architecture_is_refused(path, settings):
    with pytest.raises(InputError) as error:
        copy_weights(path, NucleusNet(settings, pretrained=False))
    assert str(error.value) == (
        f"{path}: its architecture differs from the network to train; set "
        "network.encoder_name=tu-tf_efficientnet_lite2 and network.decoder_channels=[16, 8, 8, 8, "
        "8]"
    )
