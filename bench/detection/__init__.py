"""Power and false alarms of every detector and of the gate, beside the peers: `python -m bench.detection`."""
