//! An Internet in a box: namespaces, names, leases, origins and toy devices.
