NAME = "the helper"
