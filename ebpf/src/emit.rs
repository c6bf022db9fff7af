//! What leaves the programs: records in a ring, and counts.
//!
//! A full ring is the caller's to count, and never waits; a record wakes no one, for the agent drains the
//! ring on a timer. Probes of user space can interrupt each other on one CPU, so that even the counters
//! of a CPU are added to atomically.

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, maps::RingBuf, maps::ring_buf::RingBufEntry};

/// Room for one record. The verifier refuses a program in which one may be forgotten.
pub struct Room<T: 'static>(RingBufEntry<T>);

impl<T> Room<T> {
    /// None if the ring is full.
    #[inline(always)]
    pub fn in_ring(ring: &RingBuf) -> Option<Self> {
        ring.reserve(0).map(Self)
    }

    #[inline(always)]
    pub fn fill(mut self, fill: impl FnOnce(&mut T)) {
        // SAFETY: the ring's pages are zeroed when it is made and then hold records, so that they are
        // initialised; the records of `abi` are integers, for which every pattern of bits is valid.
        fill(unsafe { self.0.assume_init_mut() });
        self.0.submit(u64::from(BPF_RB_NO_WAKEUP));
    }

    #[inline(always)]
    pub fn leave_empty(self) {
        self.0.discard(u64::from(BPF_RB_NO_WAKEUP));
    }
}

/// Adds to a counter of a map.
#[inline(always)]
pub fn add(counter: &mut u64, by: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the reference is valid, and the instruction writes nothing but what it points at. The
    // processor adds atomically; core offers it only where it can also compare and exchange.
    unsafe {
        core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) by);
    }
    // Lints read the programs for the host.
    #[cfg(not(target_arch = "bpf"))]
    {
        *counter += by;
    }
}
