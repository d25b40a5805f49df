//! The flags of scaled minifloats.

use fewbit_formats::Format;
use fewbit_nn::config::{ActStatistic, Architecture, FormatName, NetworkConfig};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::TrainArgs;
use crate::failure::{Failure, Hint, Outcome};
use crate::nearest::suggestion;

/// Puts the flags over the description of the network.
pub fn apply(args: &TrainArgs, network: &mut NetworkConfig) -> Outcome<()> {
    let given = [
        ("--weight-scaling", args.weight_scaling.is_some()),
        ("--act-scaling", args.act_scaling.is_some()),
        ("--act-statistic", args.act_statistic.is_some()),
        ("--collection-steps", args.collection_steps.is_some()),
        ("--scale-restriction", args.scale_restriction.is_some()),
        ("--rectified-format", args.rectified_format.is_some()),
    ];
    let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) else { return Ok(()) };
    let Architecture::Resnet18 { quantizers, .. } = &mut network.architecture else {
        return Err(Failure::new(format!("{flag}: {} has no minifloats", network.name))
            .or_hint("networks such as RESNET18_5W5A_FLOAT_E3M1 have them"));
    };
    if let Some(text) = &args.weight_scaling {
        quantizers.weight_scaling =
            one_of("--weight-scaling", text, &["unscaled", "per_tensor", "per_channel"])?;
    }
    if let Some(text) = &args.act_scaling {
        quantizers.act_scaling =
            one_of("--act-scaling", text, &["unscaled", "learned", "statistics"])?;
    }
    if let Some(text) = &args.act_statistic {
        quantizers.act_statistic = text
            .to_ascii_lowercase()
            .parse::<ActStatistic>()
            .hint_with(|_| suggestion(text, ["absmax", "percentile:99.9"]))?;
    }
    if let Some(steps) = args.collection_steps {
        quantizers.collection_steps = steps;
    }
    if let Some(text) = &args.scale_restriction {
        let known = ["float", "power_of_two", "power_of_two_ceil", "power_of_two_floor"];
        quantizers.scale_restriction = one_of("--scale-restriction", text, &known)?;
    }
    if let Some(text) = &args.rectified_format {
        quantizers.rectified_format = Some(FormatName(text.parse::<Format>()?));
    }
    Ok(())
}

/// Reads one of the names that files have, in any case, with `-` or `_`.
fn one_of<T: DeserializeOwned>(flag: &str, text: &str, known: &[&str]) -> Outcome<T> {
    let name = text.to_ascii_lowercase().replace('-', "_");
    if !known.contains(&name.as_str()) {
        let message = format!("{flag} {text:?}: expected one of {}", known.join(", "));
        let failure = Failure::new(message);
        return Err(match suggestion(text, known.iter().copied()) {
            Some(hint) => failure.or_hint(hint),
            None => failure,
        });
    }
    Ok(serde_json::from_value(Value::String(name))?)
}

#[cfg(test)]
mod tests {
    use fewbit_nn::config::{ActScaling, ResnetQuantizers, WeightScaling};
    use fewbit_nn::quantizer::Restriction;

    use super::*;

    fn quantizers(args: &TrainArgs) -> Outcome<ResnetQuantizers> {
        let mut network = NetworkConfig::named("RESNET18_5W5A_FLOAT_E3M1").unwrap();
        apply(args, &mut network)?;
        let Architecture::Resnet18 { quantizers, .. } = network.architecture else {
            unreachable!("a ResNet")
        };
        Ok(*quantizers)
    }

    fn word(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn every_name_is_that_of_files() {
        for text in ["unscaled", "per_tensor", "per-channel"] {
            let args = TrainArgs { weight_scaling: word(text), ..TrainArgs::default() };
            quantizers(&args).unwrap();
        }
        for text in ["unscaled", "learned", "statistics"] {
            let args = TrainArgs { act_scaling: word(text), ..TrainArgs::default() };
            quantizers(&args).unwrap();
        }
        for text in ["float", "power_of_two", "Power-of-two-ceil", "power_of_two_floor"] {
            let args = TrainArgs { scale_restriction: word(text), ..TrainArgs::default() };
            quantizers(&args).unwrap();
        }
        let all = TrainArgs {
            weight_scaling: word("Per-Channel"),
            act_scaling: word("learned"),
            act_statistic: word("percentile:99.5"),
            collection_steps: Some(7),
            scale_restriction: word("power-of-two"),
            rectified_format: word("ue3m1"),
            ..TrainArgs::default()
        };
        let found = quantizers(&all).unwrap();
        assert_eq!(found.weight_scaling, WeightScaling::PerChannel);
        assert_eq!(found.act_scaling, ActScaling::Learned);
        assert_eq!(found.act_statistic, ActStatistic::Percentile(99.5));
        assert_eq!((found.collection_steps, found.scale_restriction), (7, Restriction::Round));
        assert_eq!(found.rectified_format.unwrap().0.to_string(), "ue3m1");
    }

    #[test]
    fn other_names_are_refused_with_a_suggestion() {
        let spoilt = TrainArgs { weight_scaling: word("per_chanel"), ..TrainArgs::default() };
        let error = quantizers(&spoilt).unwrap_err();
        assert!(error.message().contains("--weight-scaling"), "{error}");
        assert_eq!(error.hint(), Some("did you mean per_channel?"));
        let spoilt = TrainArgs { act_statistic: word("percentile:0"), ..TrainArgs::default() };
        assert!(quantizers(&spoilt).unwrap_err().message().contains("percentile:99.9"));
    }
}
