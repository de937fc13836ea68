//! Capture files in and out: frames, link layers, flows, reassembly, shards.
