//! Functions of Go's runtime whose calls mean something to the search for return points.
//!
//! In: where an executable has functions of some names. Out: what a call of an address does to the way of a function.

/// Calls after which the caller does not go on: the compiler lays out other code behind them.
///
/// hook: Go 1.20 to 1.26 `cmd/compile/internal/ssagen/ssa.go`, `(*state).stmt`, case `OCALLFUNC`, and each
/// `rtcall` that does not return; `(*state).boundsCheck` for the names on `panic` and a kind of index.
const DIVERGING: &[&str] = &[
    "runtime.block",
    "runtime.gopanic",
    "runtime.panicBounds",
    "runtime.panicExtend",
    "runtime.panicIndex",
    "runtime.panicIndexU",
    "runtime.panicSlice3Acap",
    "runtime.panicSlice3AcapU",
    "runtime.panicSlice3Alen",
    "runtime.panicSlice3AlenU",
    "runtime.panicSlice3B",
    "runtime.panicSlice3BU",
    "runtime.panicSlice3C",
    "runtime.panicSlice3CU",
    "runtime.panicSliceAcap",
    "runtime.panicSliceAcapU",
    "runtime.panicSliceAlen",
    "runtime.panicSliceAlenU",
    "runtime.panicSliceB",
    "runtime.panicSliceBU",
    "runtime.panicSliceConvert",
    "runtime.panicSimdImm",
    "runtime.panicdivide",
    "runtime.panicdottypeE",
    "runtime.panicdottypeI",
    "runtime.panicmakeslicecap",
    "runtime.panicmakeslicelen",
    "runtime.panicnil",
    "runtime.panicnildottype",
    "runtime.panicoverflow",
    "runtime.panicrangestate",
    "runtime.panicshift",
    "runtime.panicunsafeslicelen",
    "runtime.panicunsafeslicenilptr",
    "runtime.panicunsafestringlen",
    "runtime.panicunsafestringnilptr",
    "runtime.panicwrap",
    "runtime.throwinit",
];

/// They change register R11 alone.
///
/// hook: Go 1.21 to 1.26 `runtime/asm_amd64.s`, `gcWriteBarrier`
const BARRIERS: &[&str] = &[
    "runtime.gcWriteBarrier1",
    "runtime.gcWriteBarrier2",
    "runtime.gcWriteBarrier3",
    "runtime.gcWriteBarrier4",
    "runtime.gcWriteBarrier5",
    "runtime.gcWriteBarrier6",
    "runtime.gcWriteBarrier7",
    "runtime.gcWriteBarrier8",
];

/// Where a recovered panic goes on in the function that recovered it.
const DEFERS: &[&str] = &["runtime.deferreturn"];

const NAMED: &[(&[&str], Callee)] = &[
    (DIVERGING, Callee::Diverges),
    (BARRIERS, Callee::Barrier),
    (DEFERS, Callee::Defers),
];

/// What a call does, by the address it calls. Without any entry, each call is one of consequence.
#[derive(Debug, Clone, Default)]
pub struct Callees {
    /// Sorted by address; few.
    known: Vec<(u64, Callee)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    /// It belongs to the work of its caller: the caller has not ended before it.
    Consequence,
    /// It may be left out of the caller's time.
    Idle,
    Barrier,
    Diverges,
    Defers,
}

impl Callees {
    /// The names to look up for [`Self::find`].
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().flat_map(|(names, _)| *names).copied()
    }

    /// The runtime of one executable, by where it has the functions of each name. Compilers differ: a name
    /// that it does not have stands for nothing.
    pub fn find<A: IntoIterator<Item = u64>>(mut addresses: impl FnMut(&str) -> A) -> Self {
        let mut known = Vec::new();
        for &(names, callee) in NAMED {
            for name in names {
                known.extend(addresses(name).into_iter().map(|address| (address, callee)));
            }
        }
        known.sort_by_key(|&(address, _)| address);
        Self { known }
    }

    /// These too, with calls of `idle` left out of a function's time: its return may be taken before them.
    #[must_use]
    pub fn with_idle(mut self, idle: impl IntoIterator<Item = u64>) -> Self {
        for address in idle {
            if let Err(place) = self.known.binary_search_by_key(&address, |&(address, _)| address) {
                self.known.insert(place, (address, Callee::Idle));
            }
        }
        self
    }

    pub(super) fn at(&self, address: u64) -> Callee {
        match self.known.binary_search_by_key(&address, |&(address, _)| address) {
            Ok(place) => self
                .known
                .get(place)
                .map_or(Callee::Consequence, |&(_, callee)| callee),
            Err(_) => Callee::Consequence,
        }
    }
}
