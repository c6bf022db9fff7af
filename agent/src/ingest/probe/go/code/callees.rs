//! Functions whose calls mean something to the search for return points: some of Go's runtime, and what a function's
//! work is.
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
    work: Option<Work>,
}

/// The calls that a function is there for.
#[derive(Debug, Clone, Default)]
pub struct Work {
    pub addresses: Vec<u64>,
    /// Calls through an interface or a function value, too: who is called is not in the code.
    pub indirect: bool,
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
        Self { known, work: None }
    }

    /// For a function whose time is that of its work: its return may be seen after the last of these calls, before
    /// whatever else it calls.
    #[must_use]
    pub fn until(self, work: Work) -> Self {
        Self {
            work: Some(work),
            ..self
        }
    }

    /// For a function in which none of the calls of [`Self::until`] is: then nothing tells where its work ends, and
    /// each call counts.
    pub(super) fn to_the_end(&self) -> Self {
        Self {
            known: self.known.clone(),
            work: None,
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.work.is_some()
    }

    pub(super) fn at(&self, address: u64) -> Callee {
        let known = self.known.binary_search_by_key(&address, |&(address, _)| address);
        match known.ok().and_then(|place| self.known.get(place)) {
            Some(&(_, callee)) => callee,
            None => self.of_consequence(|work| work.addresses.contains(&address)),
        }
    }

    pub(super) fn indirect(&self) -> Callee {
        self.of_consequence(|work| work.indirect)
    }

    fn of_consequence(&self, is_work: impl FnOnce(&Work) -> bool) -> Callee {
        match &self.work {
            Some(work) if !is_work(work) => Callee::Idle,
            _ => Callee::Consequence,
        }
    }
}
