# The node from this tree, with the example (make etc/pki): docker build -t edgenode . &&
# docker run --rm --network host --user "$(id -u):$(id -g)" -v ./etc:/etc/edgenode:ro edgenode
# The configuration is /etc/edgenode/edgenode.ini; its certificates lie beside it. Ports below 1024 are mapped, not opened.

FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv
COPY setup.cfg pyproject.toml README.md LICENSE /src/
COPY edgenode /src/edgenode
COPY twisted /src/twisted
# Twisted's list of plugins is written now: nobody may write there later.
RUN python3 -m venv /opt/edgenode \
 && /opt/edgenode/bin/pip install --no-cache-dir '/src[redis,geo,metrics]' \
 && /opt/edgenode/bin/python -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))' \
 && /opt/edgenode/bin/pip uninstall -y pip setuptools

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10443 edgenode \
 && useradd --uid 10443 --gid 10443 --no-create-home --shell /usr/sbin/nologin edgenode \
 && mkdir /etc/edgenode
COPY --from=build /opt/edgenode /opt/edgenode
ENV PATH=/opt/edgenode/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10443:10443
WORKDIR /etc/edgenode
VOLUME /etc/edgenode
EXPOSE 8443
# SIGTERM lets open requests finish within drain-timeout: give docker stop --time a little more.
STOPSIGNAL SIGTERM
ENTRYPOINT ["twistd", "-n", "--pidfile=", "--logfile=-", "edgenode", "--config", "/etc/edgenode/edgenode.ini"]
