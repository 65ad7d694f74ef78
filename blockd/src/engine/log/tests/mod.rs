//! The shipping engine over a recording disk: crashes at every point, and what may be found afterwards.

mod damage;
mod exhaustive;
mod lives;
mod random;
mod sim;
mod world;
