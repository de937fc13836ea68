//! What is done with one attempt of a device, and the handshake that this asks for.

use policies::Defect;

use crate::forge::prober::{TLS11, TLS12};

/// What the gateway does with one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Relayed untouched.
    Pass,
    /// The flawless lab chain, in the handshake of `twin`, so that attack and control differ in one thing (and in a lab every
    /// other control in its leaf, see [`crate::forge::Leaf`]); relayed to the real server.
    /// The first `after` connections see the real server's own: behind them it asks for a pin, and is no control.
    Control { twin: Option<Defect>, after: usize },
    /// One defect, shown to all connections of the attempt but the first `after`, which are relayed untouched. Nothing the device says to
    /// it goes further than the gateway.
    Attack { id: String, defect: Defect, after: usize },
}

/// The handshake around the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Version, ALPN and key kind as the real server answers.
    Mirrored,
    /// TLS of this version, else mirrored.
    Only(u16),
    /// A hand-written flight of this version.
    Flight(u16),
    /// No handshake at all.
    Cut,
}

impl Shape {
    /// The handshake in which `defect` is shown.
    pub fn of(defect: &Defect) -> Shape {
        match defect {
            Defect::KxSignatureCorrupt | Defect::DowngradeMarker12 => Shape::Only(0x0303),
            Defect::VerifySignatureCorrupt => Shape::Only(0x0304),
            Defect::VersionTls11 => Shape::Flight(TLS11),
            Defect::TlsBlocked => Shape::Cut,
            _ => Shape::Mirrored,
        }
    }

    /// The handshake of the control that differs from `defect` in nothing else.
    pub fn twin_of(defect: &Defect) -> Shape {
        match Shape::of(defect) {
            Shape::Flight(_) => Shape::Flight(TLS12),
            Shape::Cut => Shape::Mirrored,
            same => same,
        }
    }
}

impl Treatment {
    pub fn shape(&self) -> Shape {
        match self {
            Treatment::Pass | Treatment::Control { twin: None, .. } => Shape::Mirrored,
            Treatment::Control { twin: Some(defect), .. } => Shape::twin_of(defect),
            Treatment::Attack { defect, .. } => Shape::of(defect),
        }
    }

    /// What the connection is shown that comes as number `place` of its attempt, counted from nothing.
    #[must_use]
    pub fn of_connection(self, place: usize) -> Treatment {
        match self {
            Treatment::Attack { after, .. } | Treatment::Control { after, .. } if place < after => Treatment::Pass,
            same => same,
        }
    }

    /// How many connections of an attempt are relayed before it begins.
    pub fn after(&self) -> usize {
        match self {
            Treatment::Attack { after, .. } | Treatment::Control { after, .. } => *after,
            Treatment::Pass => 0,
        }
    }

    pub fn defect(&self) -> Option<&Defect> {
        match self {
            Treatment::Attack { defect, .. } => Some(defect),
            _ => None,
        }
    }
}
