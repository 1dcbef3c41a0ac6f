use super::*;

fn edge() -> &'static str {
    PRESETS[1].1
}

/// The problems of the edge chip with replacements, as lines.
fn problems(replacements: &[(&str, &str)]) -> String {
    let text = replacements
        .iter()
        .fold(edge().to_string(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
    Chip::from_toml(&text, "my.toml").map_or_else(|e| e.to_string(), |_| "none".to_string())
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
    assert_ne!(ideal.fingerprint(), edge.fingerprint());
}

#[test]
fn all_problems_come_at_once_with_their_lines() {
    let text = problems(&[
        ("cores_x = { value = 2,", "cores_x = { value = 0,"),
        ("clock_mhz", "clock_ghz"),
        ("sram_kib = { value = 512,", "sram_kib = { value = \"big\","),
        (
            "status = \"estimate\" }\nqueue",
            "status = \"sure\" }\nqueue",
        ),
        ("[ctl]\n", "[ctrl]\n"),
        ("value = \"os\"", "value = \"is\""),
        (
            "lanes = { value = 32, source = \"design choice: one row of the matrix unit per cycle\", ",
            "lanes = { value = 32.5, ",
        ),
        (
            "exps_per_cycle = {",
            "exps_per_cycle = { unit = \"per cycle\", ",
        ),
        (
            "hop_cycles = { value = 4, source = \"design choice\", status = \"estimate\" }",
            "hop_cycles = 4",
        ),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn inconsistencies_come_at_once() {
    let text = problems(&[
        ("sram_kib = { value = 512,", "sram_kib = { value = 1,"),
        (
            "mac_f32_pj = { value = 1.69,",
            "mac_f32_pj = { value = 0.1,",
        ),
        (
            "bandwidth_mb_per_s = { value = 68264,",
            "bandwidth_mb_per_s = { value = 6826400,",
        ),
        ("burst_bytes = { value = 32,", "burst_bytes = { value = 33,"),
        (
            "transcendental_cycles = { value = 8,",
            "transcendental_cycles = { value = 2,",
        ),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn not_toml() {
    assert_eq!(
        problems(&[("[core]", "[core")]),
        "my.toml:9: is no TOML: unclosed table, expected `]`"
    );
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
