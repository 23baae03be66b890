# The studio as a service: docker build -t attrimorph . && docker run -p 8710:8710 -e ATTRIMORPH_TOKEN attrimorph
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# The CPU build of torch first: it is the large part and changes seldom.
COPY constraints.txt ./
RUN pip install --index-url https://download.pytorch.org/whl/cpu "$(grep ^torch== constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install -c constraints.txt '.[studio]' && useradd --create-home studio

# Photographs stay in memory: the user who serves can write nowhere but in her home.
USER studio
WORKDIR /home/studio
EXPOSE 8710
HEALTHCHECK --interval=30s --start-period=30s CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8710), 3)"]
# The token is that of the variable ATTRIMORPH_TOKEN, or a new one, and is printed.
# Other models: docker run ... attrimorph studio /models/run --host 0.0.0.0 --port 8710
CMD ["attrimorph", "studio", "--host", "0.0.0.0", "--port", "8710"]
