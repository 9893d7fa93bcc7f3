// What README.md shows of the library, on the model that the command line gives.
#include <cstdio>

#include "laconic/quantize.h"
#include "laconic/session.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    return 2;
  }
  const auto model = laconic::Model::Load(argv[1]);
  const auto small = laconic::QuantizeModel(model, {.method = "dynamic"});
  laconic::Session session(laconic::CompiledModel::Compile(small), 2);  // two threads
  const laconic::Encoding text = small.tokenizer().Encode("what a lovely day", 128);
  const std::vector<float> logits = session.Run({&text, 1});
  for (const float logit : logits) {
    std::printf("%.9g\n", static_cast<double>(logit));
  }
  return logits.size() == model.info().labels.size() ? 0 : 1;
}
