// A Rust program for the checks: collections, strings, formatting, traits, files, standard input, arguments, environment.
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, BufRead, Write};

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Circle(f64),
    Box { w: f64, h: f32 },
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Shape::Circle(r) => write!(f, "circle {:.3}", r),
            Shape::Box { w, h } => write!(f, "box {:e} x {:>8.2}", w, h),
        }
    }
}

fn checked(text: &str) -> Result<u128, Box<dyn std::error::Error>> {
    let n: u128 = text.trim().parse()?;
    Ok(n.checked_mul(n).ok_or("too large")?)
}

fn main() -> io::Result<()> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut lengths: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut total = 0;
    for line in io::stdin().lock().lines() {
        let line = line?;
        total += 1;
        for word in line.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    for word in counts.keys() {
        lengths.entry(word.chars().count()).or_default().push(word.clone());
    }
    let mut top: Vec<_> = counts.iter().collect();
    top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let stdout = io::stdout();
    let mut out = stdout.lock();
    writeln!(out, "{} lines, {} words, args {:?}", total, counts.len(), std::env::args().skip(1).collect::<Vec<_>>())?;
    writeln!(out, "{:?} {:?}", &top[..top.len().min(5)], lengths.iter().map(|(k, v)| (k, v.len())).collect::<Vec<_>>())?;
    for shape in [Shape::Circle(2.0), Shape::Box { w: 1.5e-7, h: 3.25 }] {
        writeln!(out, "{} {:?} {}", shape, shape, shape == shape.clone())?;
    }
    for text in ["18446744073709551616", "x", "340282366920938463463374607431768211455", " 12 "] {
        match checked(text) {
            Ok(n) => writeln!(out, "{}", n)?,
            Err(e) => writeln!(out, "error: {}", e)?,
        }
    }
    let hash = (0u64..5000).fold(0xcbf29ce484222325u64, |h, i| (h ^ i).wrapping_mul(0x100000001b3).rotate_left((i % 61) as u32));
    writeln!(out, "{:016x} {} {:?}", hash, i32::MIN.wrapping_abs(), (1.0f64 / 3.0, f32::MAX, f64::NAN, -0.0, 255u8 as i8))?;
    for name in std::env::args().skip(1) {
        match std::fs::read(&name) {
            Ok(data) => writeln!(out, "{} {}", name, data.len())?,
            Err(e) => writeln!(out, "{} {:?}", name, e.kind())?,
        }
    }
    out.flush()?;
    std::process::exit(4)
}
