"""Event files against TensorBoard itself.

    python tests/event_files.py bytes         the bytes that src/tensorboard.rs expects
    python tests/event_files.py read FOLDER   what TensorBoard reads from a run's event file
"""

import io
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def reference_bytes():
    class Kept(io.BytesIO):
        def close(self):
            pass

    out = Kept()
    writer = RecordWriter(out)
    time = 1755470010.5
    writer.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString())
    summary = Summary(value=[Summary.Value(tag="loss/train", simple_value=0.5)])
    writer.write(Event(wall_time=time, step=3, summary=summary).SerializeToString())
    return out.getvalue()


def read(folder):
    events = EventAccumulator(folder)
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [[s.step, s.value] for s in events.Scalars(tag)] for tag in tags}


if sys.argv[1] == "bytes":
    print(reference_bytes().hex())
else:
    json.dump(read(sys.argv[2]), sys.stdout, indent=1)
