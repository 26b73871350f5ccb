"""A scrape as Prometheus reads it, parsed by its own client library, with checks that hold for every page."""

import urllib.request

from live_server import Server, free_port
from prometheus_client.parser import text_string_to_metric_families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsServer(Server):
    """A new server with metrics: its numbers count from its start."""

    def __init__(self, folder, *options, **more):
        self.metrics_port = free_port()
        super().__init__(folder, "--metrics-port", str(self.metrics_port), *options, **more)

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            return Page(answer.read().decode())


class Page:
    def __init__(self, text):
        self.families = list(text_string_to_metric_families(text))
        self.samples = {}  # {(name, labels): value}
        self.order = []  # the same, in page order
        for family in self.families:
            assert family.name.startswith("sluice_"), family.name
            assert family.documentation, family.name
            assert family.type in {"counter", "gauge", "histogram"}, family.name
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"{sample} is a duplicate"
                assert family.type != "counter" or sample.name.endswith("_total"), sample
                self.samples[key] = sample.value
                self.order.append(sample)
        names = [family.name for family in self.families]
        assert len(names) == len(set(names)), "a family is split"

    def __call__(self, name, **labels):
        """Returns the value of sluice_<name> with these labels."""
        return self.samples["sluice_" + name, frozenset(labels.items())]

    def by(self, label, name, **others):
        """Returns {value of `label`: value} for all samples of that name with these other labels."""
        chosen = {}
        for sample in self.order:
            rest = {key: value for key, value in sample.labels.items() if key != label}
            if sample.name == "sluice_" + name and rest == others:
                chosen[sample.labels[label]] = sample.value
        return chosen

    def names(self):
        """Returns all metric names in the spelling of queries."""
        return {sample.name for sample in self.order}
