#!/usr/bin/env python3
"""Writes ../zeroshot_wiki_llama/fewshot.json: what lm-evaluation-harness 0.4.8 makes of the records
here with examples in front, and of lambada_openai and social_iqa.

    pip install lm_eval==0.4.8 transformers==4.51.3 torch==2.11.0
    make_fewshot.py MODEL_DIR OUT.json

The stock task files with only the place of the data set overridden. Examples are drawn from the
records themselves (`examples` of them from the first on), for the train splits are not here; a
document may so be drawn for itself, which the harness then leaves out.
"""
import hashlib
import json
import pathlib
import sys

import lm_eval
import lm_eval.tasks
import torch
import transformers
from lm_eval.models.huggingface import HFLM

HERE = pathlib.Path(__file__).resolve().parent
CASES = [(task, examples, shots)
         for task in ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge",
                      "openbookqa")
         for examples, shots in ((60, 5), (15, 2))]
CASES += [("social_iqa", 14, 0), ("social_iqa", 14, 3), ("lambada_openai", 14, 0),
          ("lambada_openai", 14, 2)]
FILES = {"boolq": "super_glue/boolq/default.yaml", "piqa": "piqa/piqa.yaml",
         "hellaswag": "hellaswag/hellaswag.yaml", "winogrande": "winogrande/default.yaml",
         "arc_easy": "arc/arc_easy.yaml", "arc_challenge": "arc/arc_challenge.yaml",
         "openbookqa": "openbookqa/openbookqa.yaml", "social_iqa": "siqa/siqa.yaml",
         "lambada_openai": "lambada/lambada_openai.yaml"}
SHOWN = 3


def task_of(name, examples, scratch):
    """The stock task over local files."""
    package = pathlib.Path(lm_eval.__file__).parent / "tasks"
    config = lm_eval.utils.load_yaml_config(str(package / FILES[name]), mode="full")
    records = (HERE / f"{name}.jsonl").read_text().splitlines(keepends=True)
    pool = scratch / f"{name}-{examples}.jsonl"
    pool.write_text("".join(records[:examples]))
    files = {config.get("test_split") or config["validation_split"]: str(HERE / f"{name}.jsonl")}
    if config.get("training_split"):
        files[config["training_split"]] = str(pool)
    if config.get("test_split") and config.get("validation_split"):
        files[config["validation_split"]] = str(pool)
    config.update(dataset_path="json", dataset_name=None, dataset_kwargs={"data_files": files})
    return lm_eval.tasks.ConfigurableTask(config=config)


def main():
    folder, out = sys.argv[1:]
    scratch = pathlib.Path(out).resolve().parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = HFLM(pretrained=transformers.AutoModelForCausalLM.from_pretrained(
        folder, torch_dtype=torch.float32), tokenizer=tokenizer, batch_size=8, device="cpu")
    cases = []
    for name, examples, shots in CASES:
        task = task_of(name, examples, scratch)
        task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(seed=1234)
        task.build_all_requests(rank=0, world_size=1)
        digest = hashlib.sha256()
        for instance in task.instances:  # in the order of documents and choices
            digest.update(f"{instance.args[0]}\0{instance.args[1]}\0".encode())
        case = {"task": name, "examples": examples, "num_fewshot": shots,
                "documents": len(task.eval_docs), "sha256_of_texts": digest.hexdigest()}
        if shots < 5 or name in ("winogrande", "openbookqa"):  # of long contexts the texts will do
            task.set_fewshot_seed(seed=1234)
            result = lm_eval.evaluate(model, {name: task}, log_samples=True)
            samples = sorted(result["samples"][name], key=lambda s: s["doc_id"])
            case["figures"] = {key.split(",")[0]: value
                               for key, value in result["results"][name].items()
                               if isinstance(value, float)}
            case["loglikelihoods"] = [[round(r[0][0], 5) for r in s["resps"]]
                                      for s in samples[:SHOWN]]
        cases.append(case)
        (scratch / f"{name}-{examples}.jsonl").unlink()
        print(json.dumps(case), flush=True)
    pathlib.Path(out).write_text(json.dumps({
        "made_with": {"lm_eval": "0.4.8", "transformers": transformers.__version__,
                      "torch": torch.__version__.split("+")[0]}, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
