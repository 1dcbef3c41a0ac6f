//! Floats of 8 bits and less: every value is a number of a small table.

use crate::dtype::DType;

/// A format of sign (if there is one), exponent and mantissa bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MiniFloat {
    exponent: u32,
    mantissa: u32,
    bias: i32,
    signed: bool,
    kind: Kind,
}

/// Which codes are no finite numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All codes are numbers.
    Finite,
    /// The largest exponent holds infinity and NaN, as in IEEE 754.
    Ieee,
    /// All ones is NaN; no infinity.
    Nan,
    /// The code of -0 is NaN; no infinity.
    NegativeZeroIsNan,
}

impl MiniFloat {
    /// The format of a type, if it is one of these.
    pub(crate) fn of(dtype: DType) -> Option<MiniFloat> {
        let format = |exponent, mantissa, bias, kind| {
            Some(MiniFloat {
                exponent,
                mantissa,
                bias,
                signed: true,
                kind,
            })
        };
        match dtype {
            DType::F8E4m3 => format(4, 3, 7, Kind::Nan),
            DType::F8E4m3Fnuz => format(4, 3, 8, Kind::NegativeZeroIsNan),
            DType::F8E5m2 => format(5, 2, 15, Kind::Ieee),
            DType::F8E5m2Fnuz => format(5, 2, 16, Kind::NegativeZeroIsNan),
            DType::F4E2m1 => format(2, 1, 1, Kind::Finite),
            DType::F8E8m0 => Some(MiniFloat {
                exponent: 8,
                mantissa: 0,
                bias: 127,
                signed: false,
                kind: Kind::Nan,
            }),
            _ => None,
        }
    }

    /// The number of codes without sign.
    fn codes(self) -> u32 {
        1 << (self.exponent + self.mantissa)
    }

    /// The value of a code.
    pub(crate) fn decode(self, code: u8) -> f64 {
        let code = u32::from(code);
        let (negative, code) = (
            self.signed && code & self.codes() != 0,
            code & (self.codes() - 1),
        );
        let fraction = code & ((1 << self.mantissa) - 1);
        let exponent = code >> self.mantissa;
        let last = exponent == (1 << self.exponent) - 1;
        let unit = 2f64.powi(1 - self.bias - self.mantissa as i32);
        let value = match self.kind {
            Kind::Ieee if last && fraction == 0 => f64::INFINITY,
            Kind::Ieee if last => f64::NAN,
            Kind::Nan if code == self.codes() - 1 => f64::NAN,
            Kind::NegativeZeroIsNan if negative && code == 0 => f64::NAN,
            _ if !self.signed => 2f64.powi(exponent as i32 - self.bias),
            _ if exponent == 0 => f64::from(fraction) * unit,
            _ => f64::from(fraction + (1 << self.mantissa)) * unit * 2f64.powi(exponent as i32 - 1),
        };
        if negative { -value } else { value }
    }

    /// The code of the nearest value, ties to the even code. Too large becomes the largest finite value; NaN becomes the
    /// code of NaN, or of -0 where there is none.
    pub(crate) fn encode(self, value: f64) -> u8 {
        let sign = if self.signed && value.is_sign_negative() {
            self.codes()
        } else {
            0
        };
        if value.is_nan() {
            return match self.kind {
                Kind::Finite => self.codes(),
                Kind::Ieee | Kind::Nan => (self.codes() - 1) | sign,
                Kind::NegativeZeroIsNan => self.codes(),
            } as u8;
        }
        let size = if self.signed { value.abs() } else { value };
        let finite = match self.kind {
            Kind::Finite | Kind::NegativeZeroIsNan => self.codes() - 1,
            Kind::Nan => self.codes() - 2,
            Kind::Ieee => self.codes() - (1 << self.mantissa) - 1,
        };
        // codes are in the order of their values: the first that is not below, and its neighbour
        let (mut low, mut high) = (0, finite);
        while low < high {
            let middle = (low + high) / 2;
            match self.decode(middle as u8) < size {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let code = match low.checked_sub(1) {
            None => low,
            Some(below) => {
                let (down, up) = (
                    size - self.decode(below as u8),
                    self.decode(low as u8) - size,
                );
                match down.total_cmp(&up) {
                    std::cmp::Ordering::Less => below,
                    std::cmp::Ordering::Equal if below % 2 == 0 => below,
                    _ => low,
                }
            }
        };
        match self.kind {
            Kind::NegativeZeroIsNan if code == 0 => 0,
            _ => (code | sign) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_a_round_trip() {
        for dtype in DType::ALL {
            let Some(format) = MiniFloat::of(dtype) else {
                continue;
            };
            for code in 0..=u8::MAX >> (8 - dtype.bits()) {
                let value = format.decode(code);
                if value.is_finite() {
                    assert_eq!(format.encode(value), code, "{dtype} {code} {value}");
                }
            }
        }
    }

    #[test]
    fn known_values() {
        let of = |d| MiniFloat::of(d).unwrap();
        assert_eq!(of(DType::F8E4m3).decode(0x7e), 448.0);
        assert_eq!(of(DType::F8E5m2).decode(0x7b), 57344.0);
        assert_eq!(of(DType::F8E4m3Fnuz).decode(0x7f), 240.0);
        assert_eq!(of(DType::F4E2m1).decode(0xf), -6.0);
        assert_eq!(of(DType::F8E8m0).decode(127), 1.0);
        // halfway between 16 and 18: the even mantissa
        assert_eq!(
            of(DType::F8E4m3).decode(of(DType::F8E4m3).encode(17.0)),
            16.0
        );
        assert_eq!(of(DType::F8E4m3).encode(1e9), 0x7e);
        assert_eq!(of(DType::F8E5m2).encode(f64::NEG_INFINITY), 0xfb);
        assert!(
            of(DType::F8E4m3)
                .decode(of(DType::F8E4m3).encode(f64::NAN))
                .is_nan()
        );
    }
}
