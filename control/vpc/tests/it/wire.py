"""Frames in and out of devices of this network namespace, for a test that talks to it by lines.

send DEVICE HEX...   puts frames on a device; answers "."
take                 what has arrived, as lines "DEVICE HEX", until nothing came for a moment; then "."
"""
import select
import socket
import sys

PACKET_IGNORE_OUTGOING = 23
SOL_PACKET = 263
SO_RCVBUFFORCE = 33
# Frames are handed on by this kernel within microseconds; this is for one that is busy.
SILENCE_S = 0.003

devices = {}
for name in sys.argv[1:]:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    wire.bind((name, 0))
    wire.setblocking(False)
    devices[name] = wire
names = {wire.fileno(): name for name, wire in devices.items()}

print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "send":
        for frame in words[2:]:
            devices[words[1]].send(bytes.fromhex(frame))
    else:
        while True:
            ready, _, _ = select.select(list(devices.values()), [], [], SILENCE_S)
            if not ready:
                break
            for wire in ready:
                try:
                    while True:
                        print(names[wire.fileno()], wire.recv(65536).hex())
                except BlockingIOError:
                    pass
                except OSError:
                    # The device is gone.
                    del devices[names[wire.fileno()]]
    print(".", flush=True)
