"""What runs in the kernels that are measured."""

from __future__ import annotations

BURST = 40
"""Questions of one cell. A kernel may ask 64 at once, and 200 a second from then on; between two cells is a pause."""

ASKING = """
import http.client, json, random, socket, time, uuid
from time import perf_counter_ns as clock
from jupyter_app_meta import shared
from jupyter_app_meta.kernel import context
from jupyter_app_meta.state import values
from jupyter_app_meta.state.operations import Apply, Read, Request, read_answer, write_request

class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

def by_http(operation):
    request = Request(uuid.uuid4().hex, context.seen().grant, "shared", operation)
    door.request("POST", "/", json.dumps(write_request(request)), {"Kernel": kernel_id})
    return read_answer(json.loads(door.getresponse().read())).result

def read():
    return shared.state["n"]
def http_read():
    return values.decode(by_http(Read(("n",)))["n"][0])
def write():
    shared.state["n"] = {"step": 2, "liked": ["north", "south"]}
def http_write():
    by_http(Apply(puts={"n": values.encode({"step": 2, "liked": ["north", "south"]})}))
def snapshot():
    return shared.state.snapshot()

def timed(act):
    start = clock()
    act()
    return clock() - start

def turns(first, second, rounds):
    taken = []
    for _ in range(rounds):
        pair = [0, 0]
        for place, act in random.sample(((0, first), (1, second)), 2):
            pair[place] = timed(act)
        taken.append(pair)
    print(json.dumps(taken))

def paced(act, seconds):
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        act()
        done += 1
        time.sleep(max(0, done / 150 - (seconds - (end - time.monotonic()))))
    print(done)
"""
"""Defines how to ask by state and by HTTP, and how to time both in turns. ``paced`` asks 150 times a second."""

COUNTING = """
import collections, json, sys, threading, jupyter_app_meta.kernel.state, jupyter_app_meta.state
kernel = get_ipython().kernel
def watch(frame, event, argument, calls=collections.Counter(), homes=(
    jupyter_app_meta.kernel.state.__path__[0], jupyter_app_meta.state.__path__[0]
)):
    if event == "call" and frame.f_code.co_filename.startswith(homes):
        calls[frame.f_code.co_qualname] += 1
async def counted(message, original=kernel.dispatch_control):
    watch.__defaults__[0]["a message on the control channel"] += 1
    await original(message)
kernel.control_stream.io_loop.add_callback(kernel.control_stream.on_recv, counted, False)
getattr(threading, "setprofile_all_threads", sys.setprofile)(watch)
"""
COUNTED = """
getattr(threading, "setprofile_all_threads", sys.setprofile)(None)
print(json.dumps(watch.__defaults__[0]))
"""
"""Counts what runs of stored state, and what arrives on the control channel, which is where answers would arrive."""
