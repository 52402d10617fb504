"""Power and false alarms of the gate, beside the peers: `python -m bench.detection`."""
