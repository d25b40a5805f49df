//! Which instruction set the kernels use.
//!
//! Detected once, at run time. A caller may lower the level (to test, or to rule out a suspicion), never raise it.
//! The level changes how fast a result comes, never one of its bits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// The instruction sets that kernels are written for, from the plainest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What the compiler makes of plain Rust for the target's baseline.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C (Intel since 2013, AMD since 2015).
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL (Intel servers since 2017, AMD since 2022).
    Avx512,
    /// The same with dot products of 8- and 16-bit integers (VNNI) and of bfloat16 (Intel servers since 2020, AMD since 2022).
    Avx512VnniBf16,
}

/// The lowest level asked for by [`limit_isa`], as the number of an [`Isa`].
static LIMIT: AtomicU8 = AtomicU8::new(u8::MAX);

impl Isa {
    /// Every level, plainest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512VnniBf16];

    /// Returns the fastest level that this machine supports.
    pub fn detected() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(detect)
    }

    /// Returns the level in use: the detected one, or a lower one set by [`limit_isa`].
    pub fn current() -> Self {
        let limit = LIMIT.load(Ordering::Relaxed);
        let detected = Self::detected();
        Self::ALL
            .into_iter()
            .filter(|&isa| isa <= detected && isa.number() <= limit)
            .max()
            .unwrap_or(Self::Scalar)
    }

    /// Returns the level's name, as [`FromStr`](std::str::FromStr) reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512VnniBf16 => "avx512-vnni-bf16",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Scalar => 0,
            Self::Avx2 => 1,
            Self::Avx512 => 2,
            Self::Avx512VnniBf16 => 3,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let dot_products =
        avx512 && is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bf16");
    match (avx2, avx512, dot_products) {
        (_, _, true) => Isa::Avx512VnniBf16,
        (_, true, _) => Isa::Avx512,
        (true, _, _) => Isa::Avx2,
        _ => Isa::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Isa {
    Isa::Scalar
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no instruction set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIsa(String);

impl std::fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown instruction set {:?}, expected ", self.0)?;
        for (i, isa) in Isa::ALL.into_iter().enumerate() {
            let before = match i {
                0 => "",
                i if i + 1 == Isa::ALL.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}{isa}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownIsa {}

impl std::str::FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        let spelled = name.replace('_', "-");
        Self::ALL
            .into_iter()
            .find(|isa| isa.name().eq_ignore_ascii_case(&spelled))
            .ok_or_else(|| UnknownIsa(name.to_owned()))
    }
}

/// Makes all kernels of this process use at most `level`. A later call can lower the level further, never raise it.
pub fn limit_isa(level: Isa) {
    LIMIT.fetch_min(level.number(), Ordering::Relaxed);
}

/// Proof that the machine has the instructions of an [`Isa`]: only [`Level::supported`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof(());

/// A level that this machine is known to support, with the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum Level {
    Scalar,
    Avx2(Proof),
    Avx512(Proof),
    Avx512VnniBf16(Proof),
}

impl Level {
    /// The level in use.
    pub(crate) fn current() -> Self {
        Self::supported(Isa::current()).unwrap_or(Self::Scalar)
    }

    /// `isa` with its proof, `None` if this machine does not have it.
    pub(crate) fn supported(isa: Isa) -> Option<Self> {
        let proof = (isa <= Isa::detected()).then_some(Proof(()))?;
        Some(match isa {
            Isa::Scalar => Self::Scalar,
            Isa::Avx2 => Self::Avx2(proof),
            Isa::Avx512 => Self::Avx512(proof),
            Isa::Avx512VnniBf16 => Self::Avx512VnniBf16(proof),
        })
    }

    /// Every level that this machine can run: what the tests go through.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        Isa::ALL.into_iter().filter_map(Self::supported).collect()
    }
}

/// Compiles a plain function for the baseline, for AVX2 + FMA and for AVX-512, and chooses by its first argument.
///
/// The body is ordinary Rust, so all versions have the same bits: the compiler never fuses or reorders `f32`
/// operations by itself.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($level:ident $(, $arg:ident : $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($level: $crate::isa::Level $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            match $level {
                $crate::isa::Level::Scalar => body($($arg),*),
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx2(_proof) => {
                    // SAFETY: this level exists only on a machine that has AVX2, FMA and F16C.
                    unsafe { avx2($($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx512(_proof) | $crate::isa::Level::Avx512VnniBf16(_proof) => {
                    // SAFETY: these levels exist only on a machine that has AVX2, FMA, F16C and AVX-512 F, BW, DQ and VL.
                    unsafe { avx512($($arg),*) }
                }
                #[cfg(not(target_arch = "x86_64"))]
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().to_uppercase().replace('-', "_").parse(), Ok(isa));
        }
        let error = "avx9".parse::<Isa>().unwrap_err().to_string();
        let expected =
            "unknown instruction set \"avx9\", expected scalar, avx2, avx512 or avx512-vnni-bf16";
        assert_eq!(error, expected);
    }

    #[test]
    fn current_is_never_above_detected() {
        assert!(Isa::current() <= Isa::detected());
        assert!(Level::supported(Isa::detected()).is_some());
        assert!(Level::all().contains(&Level::Scalar));
    }
}
