"""What the application needs of the world. Adapters and fakes implement these.

No type of a foreign library crosses a port: adapters translate, both values and exceptions.
Unless a docstring says otherwise, every method may be called from any thread, blocks, and is
bounded by its adapter's time-outs.
"""

from modelsync.ports.clock import Clock, Observer
from modelsync.ports.queue import Message, Queue
from modelsync.ports.staging import Held, Part, StagedFile, Staging
from modelsync.ports.store import Body, Listing, ObjectStore, Patiently, at_once
from modelsync.ports.volume import Space, Volume, Writer

__all__ = [
    "Body",
    "Clock",
    "Held",
    "Listing",
    "Message",
    "ObjectStore",
    "Observer",
    "Part",
    "Patiently",
    "Queue",
    "Space",
    "StagedFile",
    "Staging",
    "Volume",
    "Writer",
    "at_once",
]
