import ionian as modal

app = modal.App("package", image=modal.Image.debian_slim(python_version="3.11"))
