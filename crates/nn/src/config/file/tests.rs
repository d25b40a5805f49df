use std::path::Path;

use super::*;
use crate::config::{ActScaling, ActStatistic, FormatName, Quantization, WeightScaling};
use crate::quantizer::{MinifloatGradient, Restriction};

fn read(file: &str, text: &str) -> Result<Described, Error> {
    NetworkConfig::from_file(text, Path::new(file))
}

#[test]
fn every_named_network_is_its_own_file() {
    let mut count = 0;
    for name in NetworkConfig::shipped_names() {
        let network = NetworkConfig::named(&name).unwrap();
        let text = network.to_toml().unwrap();
        let described = read("x.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(described, Described { network: network.clone(), warnings: vec![] });
        // A file with nothing but a base is that network under its own name.
        let base = read("x.toml", &format!("base = {name:?}")).unwrap().network;
        assert_eq!(base, NetworkConfig { name: "X".to_owned(), ..network });
        count += 1;
    }
    assert_eq!(count, 43);
}

#[test]
fn every_setting_of_minifloats_survives() {
    let mut network = NetworkConfig::named("RESNET18_5W5A_FLOAT_E3M1").unwrap();
    let Architecture::Resnet18 { quantizers, .. } = &mut network.architecture else {
        unreachable!("a ResNet")
    };
    quantizers.rectified_format = Some(FormatName("ue3m1".parse().unwrap()));
    quantizers.first_layer_format = Some(FormatName("e4m3".parse().unwrap()));
    quantizers.last_layer_format = Some(FormatName("e5m2-fnuz".parse().unwrap()));
    quantizers.weight_scaling = WeightScaling::PerTensor;
    quantizers.act_scaling = ActScaling::Learned;
    quantizers.act_statistic = ActStatistic::Percentile(99.9);
    quantizers.collection_steps = 17;
    quantizers.scale_restriction = Restriction::Ceil;
    quantizers.gradient = MinifloatGradient::Ste;
    let text = network.to_toml().unwrap();
    assert_eq!(read("x.toml", &text).unwrap().network, network, "{text}");
}

#[test]
fn what_differs_from_a_base_is_enough() {
    let text = "base = \"cnv_2w2a\"\nclasses = 7\narchitecture.hidden = [32]\nact_bit_width = 4\n";
    let network = read("dir/my-net.toml", text).unwrap().network;
    let cnv = NetworkConfig::named("CNV_2W2A").unwrap();
    assert_eq!((network.name.as_str(), network.classes, network.act_bit_width), ("MY-NET", 7, 4));
    let (
        Architecture::Cnv { hidden, convolutions, .. },
        Architecture::Cnv { convolutions: of_cnv, .. },
    ) = (&network.architecture, &cnv.architecture)
    else {
        unreachable!("CNV")
    };
    assert_eq!((hidden.as_slice(), convolutions), (&[32][..], of_cnv));
    // Layers of another family replace those of the base.
    let text = "base = \"TFC_2W2A\"\nimage_shape = [3, 32, 32]\n[architecture]\nfamily = \"cnv\"\n\
                hidden = []\nconvolutions = [{ channels = 8, pooling = \"max\" }]\n";
    let network = read("x.toml", text).unwrap().network;
    assert!(matches!(network.architecture, Architecture::Cnv { .. }));
    assert_eq!(network.weight_bit_width, 2);
    // Without a base everything is there but what follows from the formats.
    let text = "classes = 10\nimage_shape = [3, 16, 16]\n[architecture]\nfamily = \"resnet18\"\n\
                widths = [4, 4, 4, 4]\n[architecture.quantizers]\nweight_format = \"e3m1\"\n\
                act_format = \"e4m3\"\n";
    let network = read("x.toml", text).unwrap().network;
    assert_eq!(
        (network.weight_bit_width, network.act_bit_width, network.input_bit_width),
        (5, 8, 8)
    );
    let off = read("x.toml", "base = \"TFC_2W2A\"\nquantization = \"off\"").unwrap().network;
    assert_eq!(off.quantization, Quantization::Off);
}

#[test]
fn mistakes_are_named_with_their_line() {
    let resnet = "base = \"RESNET18_5W5A_FLOAT_E3M1\"\n[architecture.quantizers]\n";
    let cases = [
        ("base = \"TFC_2W2\"\n", "line 1: base is \"TFC_2W2\"", "did you mean TFC_2W2A?"),
        ("base = 3", "line 1: base is 3, expected a name in quotes", ""),
        ("\nbase = \"TFC_2W2A\"\nclases = 3", "line 3: unknown key \"clases\"", "classes"),
        ("bse = \"TFC_2W2A\"", "line 1: unknown key \"bse\"", "did you mean base?"),
        ("base = \"TFC_2W2A\"\nclasses = \"3\"", "line 2: classes is \"3\": invalid type", ""),
        ("base = \"TFC_2W2A\"\nclasses = 1", "line 2: classes is 1, expected at least 2", ""),
        ("base = \"TFC_2W2A\"\nclasses = -1", "line 2: classes is -1: ", ""),
        (
            "base = \"TFC_2W2A\"\n[architecture]\nhidden = [64, 1.5]",
            "line 3: hidden is [64, 1.5]: invalid type",
            "",
        ),
        ("base = \"TFC_2W2A\"\n[architecture]\nwidths = [1]", "line 3: unknown key \"widths\"", ""),
        (
            "base = \"TFC_2W2A\"\narchitecture.family = \"resnet\"",
            "line 2: family is \"resnet\": unknown variant",
            "resnet18",
        ),
        (
            "base = \"TFC_2W2A\"\n[architecture]\ndropout = 2.0",
            "line 3: dropout is 2, expected",
            "",
        ),
        (
            "base = \"TFC_2W2A\"\n# classes\nimage_shape = [1, 28]",
            "line 3: image_shape is [1, 28]: invalid length",
            "",
        ),
        (
            &format!("{resnet}weight_scalling = \"per_channel\""),
            "line 3: unknown key \"weight_scalling\"",
            "did you mean weight_scaling?",
        ),
        (
            &format!("{resnet}weight_scaling = \"per_chanel\""),
            "line 3: weight_scaling is \"per_chanel\": unknown variant",
            "did you mean per_channel?",
        ),
        (&format!("{resnet}act_format = \"e9m1\""), "line 3: act_format is \"e9m1\": ", ""),
        (&format!("{resnet}act_statistic = \"max\""), "line 3: act_statistic is \"max\": ", ""),
        (
            &format!("{resnet}weight_scaling = \"per_tensor\"\nlast_layer_format = \"e7m1\""),
            "last_layer_format is e7m1, expected at most 6 exponent bits",
            "",
        ),
        (
            "base = \"RESNET18_5W5A_FLOAT_E3M1\"\nweight_bit_width = 4",
            "line 2: weight_bit_width is 4, expected the bits of the format",
            "",
        ),
        ("base = \"TFC_2W2A\"\nhidden = [", "line 2: no TOML: ", ""),
        ("classes = 10\nimage_shape = [1, 2, 3]", "is missing", "base = "),
        ("", "x.toml: ", "base = "),
        (
            "base = \"TFC_2W2A\"\n[architecture]\nhidden = [99999999, 99999999]",
            "line 2: architecture is ",
            "",
        ),
        ("base = \"TFC_2W2A\"\nname = \"../x\"", "line 2: name is ", ""),
    ];
    for (text, words, hint) in cases {
        let error = read("x.toml", text).unwrap_err();
        let found = error.to_string();
        assert!(found.contains(words) && found.starts_with("x.toml"), "{text}\n{found}");
        let hinted = error.hint().unwrap_or_default();
        assert!(hinted.contains(hint), "{text}\n{found}\n{hinted}");
    }
}

/// The INI files that the specification describes.
const TFC: &str = "[MODEL]\nARCH: FC\nNUM_CLASSES: 10\nOUT_FEATURES: [64, 64, 64]\nIN_CHANNELS: 1\n\
    DATASET: MNIST\nPRETRAINED_URL: https://x/y.pth\nEVAL_LOG: https://x/y.txt\n\n\
    [QUANT]\nWEIGHT_BIT_WIDTH: 1\nACT_BIT_WIDTH: 2\nIN_BIT_WIDTH: 2\n";
const RESNET: &str = "[MODEL]\nARCH = RESNET18\nDATASET = CIFAR10\nnum_classes = 10\n\n[QUANT]\n\
    TYPE = FLOAT\nWEIGHT_BIT_WIDTH = 6\nWEIGHT_EXPONENT_BITS = 3\nWEIGHT_MANTISSA_BITS = 2\n\
    ACT_BIT_WIDTH = 6\nACT_EXPONENT_BITS = 3\nACT_MANTISSA_BITS = 2\n\n; the first layer\n\
    [FIRST_LAYER_QUANT]\nTYPE = FLOAT\nWEIGHT_BIT_WIDTH = 8\nWEIGHT_EXPONENT_BITS = 4\n\
    WEIGHT_MANTISSA_BITS = 3\nACT_BIT_WIDTH = 8\nACT_EXPONENT_BITS = 4\nACT_MANTISSA_BITS = 3\n";

#[test]
fn files_of_the_published_examples() {
    let tfc = read("cfg/tfc_1w2a.ini", TFC).unwrap();
    assert_eq!(tfc.network, NetworkConfig::named("TFC_1W2A").unwrap());
    assert!(tfc.warnings.is_empty());
    let cnv = TFC.replace("ARCH: FC", "ARCH: CNV").replace("MNIST", "CIFAR10");
    let cnv = cnv
        .replace("IN_CHANNELS: 1", "IN_CHANNELS: 3")
        .replace("IN_BIT_WIDTH: 2", "IN_BIT_WIDTH: 8");
    assert_eq!(
        read("cnv_1w2a.cfg", &cnv).unwrap().network,
        NetworkConfig::named("CNV_1W2A").unwrap()
    );
    let name = "RESNET18_6W6A_8W8A_FIRST_LAYER_FLOAT";
    let resnet = read(&format!("{name}.ini"), RESNET).unwrap();
    assert_eq!(resnet.network, NetworkConfig::named(name).unwrap());
    assert_eq!(resnet.warnings.len(), 3);
    assert!(resnet.warnings.iter().any(|w| w.contains("line 21: ACT_BIT_WIDTH")), "{resnet:?}");
    let fixed = RESNET.split("\n; the").next().unwrap().replace("TYPE = FLOAT\n", "");
    let fixed = fixed.replace("WIDTH = 6", "WIDTH = 4");
    let fixed = read("resnet18_4w4a.ini", &fixed).unwrap().network;
    assert_eq!(fixed, NetworkConfig::named("RESNET18_4W4A").unwrap());
    let all = RESNET.split("\n; the").next().unwrap();
    let all = all.replace("= 6", "= 32").replace("= 3\n", "= 8\n").replace("= 2\n", "= 23\n");
    let baseline = read("x.ini", &all).unwrap().network;
    assert_eq!(baseline.quantization, Quantization::Off);
}

#[test]
fn mistakes_in_ini_files_are_named_with_their_line() {
    let tfc = |old: &str, new: &str| TFC.replacen(old, new, 1);
    let resnet = |old: &str, new: &str| RESNET.replacen(old, new, 1);
    let cases = [
        (
            tfc("ARCH: FC", "ARCH: FCC"),
            "line 2: ARCH is \"FCC\", expected FC or CNV or RESNET18",
            "FC",
        ),
        (
            tfc("OUT_FEATURES", "OUT_FEATURE"),
            "line 4: unknown key \"OUT_FEATURE\" in [MODEL]",
            "OUT_FEATURES",
        ),
        (tfc("[QUANT]", "[QUNT]"), "line 10: unknown section [QUNT]", "did you mean QUANT?"),
        (tfc("[64, 64, 64]", "64"), "line 4: OUT_FEATURES is \"64\"", ""),
        (tfc("[64, 64, 64]", "[64, x]"), "line 4: OUT_FEATURES", ""),
        (tfc("ACT_BIT_WIDTH: 2", "ACT_BIT_WIDTH: two"), "line 12: ACT_BIT_WIDTH is \"two\"", ""),
        (
            tfc("ACT_BIT_WIDTH: 2", "ACT_BIT_WIDTH: 9"),
            "act_bit_width is 9, expected 1 to 8 bits",
            "",
        ),
        (tfc("NUM_CLASSES: 10\n", ""), "x.ini: NUM_CLASSES is missing from section [MODEL]", ""),
        (
            tfc("NUM_CLASSES: 10", "NUM_CLASSES: 10\nNUM_CLASSES: 5"),
            "line 4: NUM_CLASSES in [MODEL] is given twice",
            "",
        ),
        (tfc("[MODEL]\n", ""), "line 1: \"ARCH\" stands before the first section", ""),
        (tfc("ARCH: FC", "FC"), "line 2: \"FC\" is neither", ""),
        (tfc("64, 64, 64", "9999999999, 9999999999"), "architecture is ", ""),
        (tfc("[64, 64, 64]", "[]"), "hidden is []", ""),
        (resnet("WIDTH = 6", "WIDTH = 7"), "line 8: WEIGHT_BIT_WIDTH is 7, expected 6", ""),
        (resnet("BITS = 3", "BITS = 9"), "line 9: ", ""),
        (
            resnet("TYPE = FLOAT\nWEIGHT_BIT_WIDTH = 8", "TYPE = FIXED\nWEIGHT_BIT_WIDTH = 8"),
            "line 17: TYPE is \"FIXED\", expected FLOAT",
            "",
        ),
        (
            resnet("NUM", "IN_CHANNELS = 1\nNUM").replace("num", "IN_CHANNELS = 1\nnum"),
            "line 4: IN_CHANNELS is 1",
            "",
        ),
    ];
    for (text, words, hint) in cases {
        let error = read("x.ini", &text).unwrap_err();
        let found = error.to_string();
        assert!(found.contains(words) && found.starts_with("x.ini"), "{text}\n{found}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{text}\n{found}");
    }
}

#[test]
fn damaged_files_are_errors_not_crashes() {
    let mut toml = NetworkConfig::named("CNV_2W2A").unwrap().to_toml().unwrap();
    toml.push_str("base = \"TFC_2W2A\"\n");
    let mut refused = 0;
    for (file, text) in [("x.toml", toml.as_str()), ("x.ini", RESNET), ("x.ini", TFC)] {
        for cut in (0..text.len()).filter(|&cut| text.is_char_boundary(cut)) {
            refused += usize::from(read(file, &text[..cut]).is_err());
            for spoilt in ["\u{0}", "=", "\"", "[[", "1e999", "-"] {
                let text =
                    format!("{}{spoilt}{}", &text[..cut], text.get(cut + 1..).unwrap_or_default());
                refused += usize::from(read(file, &text).is_err());
            }
        }
    }
    assert!(refused > 5000, "{refused}");
    read("x.toml", &"[".repeat(100_000)).unwrap_err();
    read("x.toml", &format!("base = {}", "[".repeat(100_000))).unwrap_err();
}
