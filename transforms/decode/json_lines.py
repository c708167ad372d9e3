import pyarrow as pa
class JsonDecoder:
    def __init__(self, contract): self.contract=contract
    def decode(self, block): raise NotImplementedError
