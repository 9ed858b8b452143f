"""What TensorBoard's table of HParams reads from a folder of logs."""

import tensorflow as tf
from tensorboard.plugins.hparams import plugin_data_pb2


def hparams_of(folder):
    """Returns what TensorBoard's HParams read of each folder of logs that has some."""
    found = {}
    for path in sorted(folder.rglob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag == "_hparams_/session_start_info":
                    data = plugin_data_pb2.HParamsPluginData.FromString(
                        value.metadata.plugin_data.content
                    )
                    given = data.session_start_info.hparams
                    found[path.parent.name] = {
                        name: getattr(given[name], given[name].WhichOneof("kind")) for name in given
                    }
    return found
