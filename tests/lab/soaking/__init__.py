"""The long run: serve-plugin for half an hour beside a kubelet, on cards that come and go, at random."""
