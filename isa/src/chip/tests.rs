use super::*;

fn edge() -> &'static str {
    PRESETS[1].1
}

/// A case of `tests/cases/chip`: lines of the edge chip's file that are replaced, and what `llmc chip check` says then.
///
/// Each line that begins with `- ` must be in the file; the lines with `+ ` after it take its place.
fn case(path: &std::path::Path) {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let (edits, expected) = text.split_once("---\n").unwrap();
    let mut lines: Vec<&str> = edge().lines().collect();
    let mut at = 0;
    for edit in edits.lines() {
        if let Some(old) = edit.strip_prefix("- ") {
            let found = lines.iter().position(|line| *line == old);
            at = found.unwrap_or_else(|| panic!("{name}: the edge chip has no line {old}"));
            lines.remove(at);
        } else if let Some(new) = edit.strip_prefix("+") {
            lines.insert(at, new.strip_prefix(' ').unwrap_or(new));
            at += 1;
        } else {
            assert!(edit.starts_with('#'), "{name}: {edit}");
        }
    }
    let problems = Chip::from_toml(&lines.join("\n"), "my.toml")
        .err()
        .map(|e| e.problems)
        .unwrap_or_default();
    assert!(!problems.is_empty(), "{name}: nothing is wrong");
    let found: String = problems.iter().map(|p| p.report() + "\n").collect();
    if std::env::var_os("LLMC_BLESS").is_some() {
        std::fs::write(path, format!("{edits}---\n{found}")).unwrap();
    } else {
        assert_eq!(
            found, expected,
            "{name}; LLMC_BLESS=1 cargo test -p llmc-isa rewrites it"
        );
    }
}

#[test]
fn bad_chip_files() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/chip");
    let mut cases: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 12);
    for path in cases {
        case(&path);
    }
}

#[test]
fn presets_are_consistent() {
    for name in Chip::presets() {
        let chip = Chip::load(name).unwrap();
        assert_eq!((chip.name(), chip.check()), (name, vec![]));
    }
    let (ideal, edge) = (Chip::load("ideal").unwrap(), Chip::load("edge").unwrap());
    assert_eq!(
        (
            ideal.cores(),
            ideal.sram_bytes(),
            edge.cores(),
            edge.sram_bytes()
        ),
        (32, 4 << 20, 4, 512 << 10)
    );
    let prints: std::collections::BTreeSet<String> = Chip::presets()
        .into_iter()
        .map(|name| Chip::load(name).unwrap().fingerprint())
        .collect();
    assert_eq!(prints.len(), Chip::presets().len());
}

/// What is published of the chips that the presets are like.
#[test]
fn presets_have_the_published_numbers() {
    let load = |name| Chip::load(name).unwrap();
    let tops = |chip: &Chip| (chip.peak_bf16_ops_per_s() / 1e12).round() as u64;
    let h100 = load("h100-like");
    assert_eq!((h100.cores(), tops(&h100)), (132, 989));
    assert_eq!(h100.dram_bytes_per_s(), 3_350_000_000_000);
    let groq = load("groq-like");
    // 188 TFLOPS with ALUs that the planes of 320 x 320 do not have; 220 MiB in all.
    assert_eq!(tops(&groq), 184);
    let sram = groq.sram_bytes() * u64::from(groq.cores()) + groq.dram_bytes();
    assert_eq!(sram, 220 << 20);
    let blackhole = load("tenstorrent-blackhole-like");
    assert_eq!(
        (
            blackhole.cores(),
            blackhole.sram_bytes() * u64::from(blackhole.cores())
        ),
        (140, 210 << 20)
    );
    assert_eq!(blackhole.dram_bytes_per_s(), 512_000_000_000);
}

#[test]
fn a_change_by_hand_drops_the_claims() {
    let edge = Chip::load("edge").unwrap();
    let other = edge.with("chip.cores_x", 4).unwrap();
    assert_eq!((edge.claim_cores(), other.claim_cores()), (4, 0));
    assert!(Chip::from_toml(other.text(), "other").is_ok());
    assert!(edge.with("claim.cores", 5).is_err());
}

#[test]
fn no_such_chip() {
    assert!(
        Chip::load("edgy")
            .unwrap_err()
            .to_string()
            .contains("the built-in chips are ideal, edge")
    );
    assert!(
        Chip::load("/no/such.toml")
            .unwrap_err()
            .to_string()
            .contains("cannot read the chip file")
    );
}

#[test]
fn a_parameter_can_be_set() {
    let edge = Chip::load("edge").unwrap();
    let half = edge.with_sram_bytes(256 << 10).unwrap();
    assert_eq!(
        (half.sram_bytes(), edge.sram_bytes()),
        (256 << 10, 512 << 10)
    );
    assert_ne!(half.fingerprint(), edge.fingerprint());
    assert_eq!(
        half.with("core.sram_kib", 512).unwrap().fingerprint(),
        edge.fingerprint()
    );
    let again = Chip::from_toml(half.text(), "edge").unwrap();
    assert_eq!(
        (again.fingerprint(), again.text()),
        (half.fingerprint(), half.text())
    );
    let is = edge.with("mxu.dataflow", "is").unwrap();
    assert_eq!(is.mxu_dataflow(), Dataflow::InputStationary);
    let ws = edge.with("mxu.dataflow", "ws").unwrap();
    assert_eq!(ws.mxu_dataflow(), Dataflow::WeightStationary);
    let message = |e: ChipError| e.to_string();
    assert_eq!(
        edge.with("core.sram_kb", 1).map_err(message),
        Err(
            "edge: `core.sram_kb` is no parameter of a chip; did you mean `core.sram_kib`?"
                .to_string()
        )
    );
    assert_eq!(
        edge.with("core.sram_kib", 2.5).map_err(message),
        Err("edge: `core.sram_kib` is 2.5, expected an integer from 1 to 65536".to_string())
    );
    assert!(edge.with_sram_bytes(1000).is_err());
}

#[test]
fn every_truncation_of_a_chip_file_is_an_error_or_a_chip() {
    for end in (0..edge().len()).filter(|i| edge().is_char_boundary(*i)) {
        let _ = Chip::from_toml(&edge()[..end], "cut.toml");
    }
}

/// `LLMC_BLESS=1 cargo test -p llmc-isa` rewrites the file.
#[test]
fn the_schema_is_fresh() {
    crate::manual::assert_fresh("chips/chip.schema.json", &json_schema());
}
